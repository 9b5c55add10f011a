"""One `map` over Dask: a few futures in flight, outcomes as they come."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dask.typing import Key
from distributed import CancelledError, Client, Future
from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

from dsir_core.errors import ClusterLostError, MixedVersionsError, RequestError
from dsir_core.runtime.executor import Outcome
from dsir_core.shards.versions import Checked, versions
from tasks.batching import Batches, stored_bytes
from tasks.completion import Completed, CompletionQueue
from tasks.dask_private import Assigned
from tasks.locality import Places
from tasks.reduction import IN_FLIGHT_PER_THREAD, WINDOW_LASTS
from tasks.speculation import Finished, Running, stragglers
from tasks.suspects import Trials
from tasks.worker import Done, call_each

logger = logging.getLogger("dsir_core.tasks")

WINDOW_SECONDS = 2.0
"""Workers are counted again after so long, or after `WINDOW_LASTS` futures."""

LOOK_SECONDS = 1.0
"""How often stragglers, and items whose worker is gone, are looked for."""

REMEMBERED = 256
"""So many of the last finished futures say how long one takes."""


@dataclass
class _Work:
    """Some items that are in flight together, in one future or in two that race."""

    indices: tuple[int, ...]
    n_bytes: int
    begun: float
    worker: str | None
    """Where it should run if it can."""
    futures: list[Future[Any]]


class Map:
    """One `DaskExecutor.map`: which items have not begun, which are in flight, which are suspected.

    Args:
        client: of the workers.
        function: see `Executor.map`.
        items: see `Executor.map`.
        name: the stage.
        places: where something is kept for an item.
    """

    def __init__(
        self, client: Client, function: Callable[[Any], Any], items: Sequence[Any], name: str, places: Places
    ) -> None:
        self._client = client
        self._function = Checked(function, versions())
        self._items = items
        self._name = name
        self._places = places
        self._batches = Batches(items, places)
        self._trials = Trials(client, name)
        self._completed = CompletionQueue(client)
        self._in_flight: dict[Key, _Work] = {}
        """By the keys of its futures."""
        self._finished: deque[Finished] = deque(maxlen=REMEMBERED)
        self._run = uuid.uuid4().hex[:8]
        self._n_submitted = 0
        self._n_threads = 1
        self._counted = 0.0
        self._looked = time.monotonic()

    def outcomes(self) -> Iterator[Outcome[Any]]:
        """Outcomes of all items; see `DaskExecutor.map`."""
        try:
            self._submit_more()
            while self._in_flight:
                completed = self._next_completed()
                work = self._in_flight.pop(completed.future.key, None)
                if work is None or self._other_goes_on(work, completed):
                    continue
                outcomes = self._settle(work, completed)
                self._submit_more()
                yield from outcomes
        finally:
            self._cancel()

    def _next_completed(self) -> Completed:
        while True:
            completed = self._completed.next(self._looked + LOOK_SECONDS - time.monotonic())
            if completed is not None:
                return completed
            self._start_stranded()
            self._start_stragglers()
            self._looked = time.monotonic()

    def _other_goes_on(self, work: _Work, completed: Completed) -> bool:
        """Whether a future lost its workers while another is still at the same items; it is forgotten then."""
        if len(work.futures) == 1 or not isinstance(completed.error, KilledWorker):
            return False
        work.futures.remove(completed.future)
        completed.future.release()
        return True

    def _settle(self, work: _Work, completed: Completed) -> list[Outcome[Any]]:
        """What a completed future says of its items; nothing of those that are to run again."""
        if completed.error is None:
            self._finished.append(Finished(time.monotonic() - work.begun, work.n_bytes))
            self._places.remember(completed.future, completed.result.kept)
        for future in work.futures:
            self._in_flight.pop(future.key, None)
            future.release()
        if completed.error is not None:
            return self._judge(work.indices, completed.error)
        done: Done[Any] = completed.result
        self._batches.measured(done.seconds, len(done.results))
        self._batches.run_again(work.indices[len(done.results) :])
        return [Outcome(index, found) for index, found in zip(work.indices, done.results, strict=False)]

    def _judge(self, indices: tuple[int, ...], error: Exception) -> list[Outcome[Any]]:
        if isinstance(error, CancelledError):
            raise ClusterLostError(
                f"stage {self._name}: item {indices[0]} was dropped, the Dask scheduler has gone or was restarted"
            ) from error
        if isinstance(error, KilledWorker):
            faults = [(index, self._trials.judge(index, error)) for index in indices]
            return [Outcome(index, None, fault) for index, fault in faults if fault is not None]
        if isinstance(error, NoValidWorkerError | NoWorkerError):
            raise ClusterLostError(f"stage {self._name}: no Dask worker is left to run anything") from error
        if isinstance(error, RequestError | MixedVersionsError):
            raise error
        # It is the first item's: `call_each` stops before a later one that fails.
        self._batches.run_again(indices[1:])
        return [Outcome(indices[0], None, error)]

    def _start_stranded(self) -> None:
        """Start a second time what was to run on a worker that has gone.

        Dask (2026.8) never runs a task that prefers a worker, when that and all others were gone for a moment.
        """
        preferring = [work for work in self._in_flight.values() if work.worker is not None]
        if not preferring:
            return
        workers = self._client.nthreads()
        for work in preferring:
            if work.worker not in workers:
                work.worker = None
                self._send(work)

    def _start_stragglers(self) -> None:
        """Start what straggles a second time, when workers have nothing to do."""
        if self._trials.under_way:
            return
        now = time.monotonic()
        running = [
            Running(str(key), now - work.begun, work.n_bytes, len(work.futures))
            for key, work in self._in_flight.items()
        ]
        if not stragglers(running, self._finished, idle=1):
            return
        idle = sum(not keys for keys in self._client.processing().values())
        for key in stragglers(running, self._finished, idle=idle):
            work = self._in_flight[key]
            logger.info("%s: item %d straggles and is started a second time", self._name, work.indices[0])
            if work.worker is not None:
                self._places.forget(work.worker)
            self._send(work)  # the scheduler gives it to an idle worker

    def _submit_more(self) -> None:
        if not self._trials.due:
            while self._batches and len(self._in_flight) < self._window():
                self._submit(self._batches.take(self._n_threads))
        if self._in_flight:
            return
        suspect = self._trials.next()
        if suspect is not None:
            self._submit((suspect,), alone=True)
        elif self._batches:
            self._submit_more()

    def _window(self) -> int:
        # Workers of a cluster come and go; asking the scheduler each time would double the cost of a shard.
        now = time.monotonic()
        if self._n_submitted % WINDOW_LASTS == 0 or now > self._counted + WINDOW_SECONDS:
            self._counted = now
            self._n_threads = max(1, sum(self._client.nthreads().values()))
        return IN_FLIGHT_PER_THREAD * self._n_threads

    def _submit(self, indices: tuple[int, ...], *, alone: bool = False) -> None:
        n_bytes = sum(stored_bytes(self._items[index]) for index in indices)
        worker = self._places.worker(self._items[indices[0]]) if len(indices) == 1 and not alone else None
        self._send(_Work(indices, n_bytes, time.monotonic(), worker, []), worker)

    def _send(self, work: _Work, worker: str | None = None) -> None:
        key = f"{self._name}-{work.indices[0]}-{self._run}-{self._n_submitted}"
        self._n_submitted += 1
        future = self._client.submit(
            call_each,
            self._function,
            [self._items[index] for index in work.indices],
            wanted=Assigned(key),
            key=key,
            pure=False,
            workers=[worker] if worker else None,
            allow_other_workers=worker is not None,
        )
        work.futures.append(future)
        self._in_flight[key] = work
        self._completed.add(future)

    def _cancel(self) -> None:
        futures = [future for work in self._in_flight.values() for future in work.futures]
        self._in_flight.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)
        self._trials.end()
