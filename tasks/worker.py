"""What surrounds a shard function on a Dask worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dsir_core.runtime.cancellation import cancellable
from dsir_core.shards.ngram_cache import NGRAM_CACHE
from dsir_core.shards.task import ShardTask

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What a future comes back with."""

    results: list[Result]
    """Of its items, fewer where it stopped before the last."""
    kept: list[str]
    """Places under which this process now keeps something for later items (`ShardTask.place`)."""
    seconds: float


def call_each(
    function: Callable[[Item], Result], items: Sequence[Item], wanted: Callable[[], bool] | None = None
) -> Done[Result]:
    """Run the items up to the first that fails.

    Raises what the first item raises; one that fails behind it runs again by itself, and then says what is wrong.

    Args:
        wanted: asked now and then whether anybody waits for the results; when nobody does, the work is given up.
    """
    begin = time.perf_counter()
    results: list[Result] = []
    with cancellable(wanted):
        for item in items:
            try:
                results.append(function(item))
            except Exception:
                if not results:
                    raise
                break
    return Done(results, _kept(items[: len(results)]), time.perf_counter() - begin)


def _kept(items: Sequence[Any]) -> list[str]:
    places = [item.place for item in items if isinstance(item, ShardTask) and item.keeps]
    return [place for place in places if NGRAM_CACHE.holds(place)]
