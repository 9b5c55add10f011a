"""What surrounds a shard function on a Dask worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
        wanted: whether somebody waits for the results, asked now and then; what nobody wants is given up.
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


@dataclass(frozen=True)
class Assigned:
    """Whether a worker still has a task to do: not once that is cancelled, nor once the worker is closing."""

    worker: Callable[[], Any]
    """Gives the worker of this thread, an object with the attributes of `distributed.Worker`."""
    key: str
    """Of the task."""

    def __call__(self) -> bool:
        """Ask the worker, which has heard it from its scheduler."""
        worker = self.worker()
        task = worker.state.tasks.get(self.key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed")


def usual_memory(dask_worker: Any) -> tuple[str, str, int]:
    """Address of a nanny, address of its worker, and the bytes above which it usually ends that; 0 where it never does.

    Args:
        dask_worker: an object with the attributes of `distributed.Nanny`; Dask gives it by this name.
    """
    manager = dask_worker.memory_manager
    limit = getattr(manager, "usual_limit", manager.memory_limit)
    return dask_worker.address, dask_worker.worker_address or "", int(limit or 0)


def lend_memory(limits: Mapping[str, int], dask_worker: Any) -> None:
    """Let nannies end their workers above other limits than usual: bytes by the nanny's address; {} takes it back."""
    manager = dask_worker.memory_manager
    if not hasattr(manager, "usual_limit"):
        manager.usual_limit = manager.memory_limit
    manager.memory_limit = limits.get(dask_worker.address, manager.usual_limit)
