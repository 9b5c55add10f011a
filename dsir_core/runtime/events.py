"""What a run tells whoever watches it: events, and the observer contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StageBegins:
    """A stage knows what it has to do."""

    stage: str
    shards: int
    n_bytes: int
    """Stored bytes of all its shards; 0 where bytes mean nothing."""


@dataclass(frozen=True)
class ShardDone:
    """One shard of a stage is complete."""

    stage: str
    n_bytes: int
    """Stored bytes of the shard; 0 where the stage reads none."""
    documents: int
    bad: int
    reused: bool
    """Whether its result was there already."""
    seconds: float
    """Time in the worker."""


@dataclass(frozen=True)
class ShardFailed:
    """One shard of a stage failed; the others go on."""

    stage: str
    shard: str
    """What the shard reads, for people."""
    reason: str


@dataclass(frozen=True)
class SlowShard:
    """One of the shards that took longest."""

    seconds: float
    """Time in the worker."""
    shard: str
    """What it reads, for people."""
    n_bytes: int
    """Stored bytes of the shard."""


@dataclass(frozen=True)
class StageEnds:
    """A stage is complete."""

    stage: str
    seconds: float
    shards: int
    reused: int
    n_bytes: int
    retries: int = 0
    """Requests to storage that were made again for its shards."""
    slowest: tuple[SlowShard, ...] = ()
    """The slowest first; none that were reused."""


@dataclass(frozen=True)
class Note:
    """Something the user should know: a warning in one line."""

    text: str


@dataclass(frozen=True)
class PassBegins:
    """The search for thresholds goes over all weights once more; how often is not known before."""

    stage: str
    shards: int


@dataclass(frozen=True)
class PassAdvances:
    """One more shard of a pass is done."""

    stage: str


@dataclass(frozen=True)
class Retried:
    """Requests to storage were made again."""

    requests: int


Event = StageBegins | ShardDone | ShardFailed | StageEnds | PassBegins | PassAdvances | Retried | Note


class Observer(Protocol):
    """Receives a run's events, in order, in the driver's process."""

    def __call__(self, event: Event) -> None:
        """Take note of an event; must be quick and must not raise."""
        ...


def ignore(event: Event) -> None:
    """The observer that watches nothing."""
