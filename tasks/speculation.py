"""Which of the running pieces of work straggle, so that they are worth a second start elsewhere."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MIN_SECONDS = 15.0
"""What takes no longer is never started again: it costs little to wait for."""

FACTOR = 3.0
"""How many times longer than others a straggler has taken."""

QUANTILE = 0.9
"""Of the others' times: a few slow ones among them make no straggler of the next slow one."""


@dataclass(frozen=True)
class Finished:
    """A piece of work that is done."""

    seconds: float
    """From its start to its result; a start is when it was sent out."""
    n_bytes: int
    """Stored bytes that it read, 0 where bytes mean nothing."""


@dataclass(frozen=True)
class Running:
    """A piece of work that is under way."""

    key: str
    seconds: float
    """Since its first start."""
    n_bytes: int
    starts: int
    """How often it was started."""


def limit_seconds(n_bytes: int, finished: Collection[Finished]) -> float:
    """How long a piece of work of a size may take before it straggles; infinite where nothing is finished.

    A piece that is larger than all that are finished may take longer in proportion.
    """
    if not finished:
        return math.inf
    times = sorted(done.seconds for done in finished)
    usual = times[math.ceil(QUANTILE * len(times)) - 1]
    largest = max(done.n_bytes for done in finished)
    return max(MIN_SECONDS, FACTOR * usual * max(1.0, n_bytes / max(1, largest)))


def stragglers(running: Iterable[Running], finished: Collection[Finished], *, idle: int) -> list[str]:
    """What to start a second time, the longest running first.

    A piece straggles when it has run longer than `MIN_SECONDS` and than `FACTOR` times what `QUANTILE` of the finished
    ones took. It gets a second start where a worker has nothing else to do, and never a third.

    Args:
        running: all that is under way.
        finished: some of what is done, the latest say.
        idle: how many workers have nothing to do.

    Returns:
        Keys, at most `idle`.
    """
    late = [one for one in running if one.starts == 1 and one.seconds > limit_seconds(one.n_bytes, finished)]
    late.sort(key=lambda one: (-one.seconds, one.key))
    return [one.key for one in late[: max(0, idle)]]
