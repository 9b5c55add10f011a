"""The executor contract over Dask: a future for a shard or for a few small ones, few at once, outcomes as they come."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from dask.typing import Key
from distributed import Client, Future, as_completed, get_worker
from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

from dsir_core.errors import MixedVersionsError, RequestError, RunFailedError, WorkerLostError
from dsir_core.runtime.executor import Outcome, nothing
from dsir_core.shards.task import ShardTask
from dsir_core.shards.versions import Checked, versions
from tasks.locality import Places
from tasks.reduction import IN_FLIGHT_PER_THREAD, WINDOW_LASTS, Reduction
from tasks.speculation import Finished, Running, stragglers
from tasks.suspects import Trials
from tasks.worker import Assigned, call_each

Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger("dsir_core.tasks")

WINDOW_SECONDS = 2.0
"""Workers are counted again after so long, or after `WINDOW_LASTS` futures."""

BATCH_SECONDS = 0.2
BATCH_BYTES = 16 * 2**20
MAX_BATCH = 64
"""A future's items: so many that its cost does not matter, so few that a lost worker costs little."""

LOOK_SECONDS = 1.0
"""How often stragglers are looked for."""

REMEMBERED = 256
"""So many of the last finished futures say how long one takes."""


class DaskExecutor:
    """`dsir_core.runtime.executor.Executor` over the workers of a Dask client.

    Dask fails a task with `KilledWorker` when the workers that held it kept dying, and cannot tell
    the shard that killed them from one that only waited beside it. Such a shard is a suspect: it
    is put aside and run again with nothing else in flight, and with the memory of all workers of its
    host. A suspect that loses its workers even so is the cause and fails; the others succeed.

    A shard that takes far longer than others is started a second time where a worker is idle
    (`tasks.speculation`). What is finished first counts, and the other is cancelled.

    Args:
        client: a connected `distributed.Client`; the caller closes it.
    """

    def __init__(self, client: Client) -> None:
        self.client = self._client = client
        self._places = Places(client)
        self.n_workers = max(1, sum(client.nthreads().values()))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`; Dask keeps no result, each future is released when its outcome is in.

        Raises:
            RequestError: as raised by `function` for any item.
            RunFailedError: no worker is left to run anything, or the scheduler went away.
        """
        return _Map(self._client, function, items, name, self._places).outcomes()

    def reduce(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        join: Callable[[Sequence[Result]], Result],
        *,
        name: str,
        done: Callable[[], None] = nothing,
    ) -> Result:
        """See `Executor.reduce`; results stay with the workers, and Dask makes those again that a lost worker held.

        Workers that come and go can take one piece with them twice; then all is made again, once.

        Raises:
            WorkerLostError: a piece lost its workers even so.
            RunFailedError: no worker is left to run anything, or the scheduler went away.
        """
        told = n_done = 0

        def tell() -> None:
            nonlocal told, n_done
            n_done += 1
            if n_done > told:  # else one that a reduction which was given up has told of
                told = n_done
                done()

        try:
            return cast(Result, Reduction(self._client, function, join, name, tell).over(items))
        except WorkerLostError:
            logger.info("%s: a reduction lost its workers and is made again", name)
            n_done = 0
            return cast(Result, Reduction(self._client, function, join, name, tell).over(items))


@dataclass
class _Work:
    """Some items that are in flight together, in one future or in two that race."""

    indices: tuple[int, ...]
    n_bytes: int
    begun: float
    worker: str | None
    """Where it should run if it can."""
    futures: list[Future[Any]]


class _Map:
    """The state of one `map`: what has not begun, what is in flight, who is suspected.

    Items that take a few milliseconds each go out several at once: a future costs Dask four.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        name: str,
        places: Places,
    ) -> None:
        self._client = client
        self._places = places
        self._function = Checked(function, versions())
        self._items = items
        self._name = name
        self._run = uuid.uuid4().hex[:8]
        self._next = 0
        self._again: deque[int] = deque()
        """Items that stood behind one that failed, and that one: each goes out by itself."""
        self._seconds: float | None = None
        self._in_flight: dict[Key, _Work] = {}
        """By the keys of its futures."""
        self._finished: deque[Finished] = deque(maxlen=REMEMBERED)
        self._looked = time.monotonic()
        self._trials = Trials(client, name)
        self._n_submitted = 0
        self._n_threads = 1
        self._counted = 0.0
        self._done = as_completed(with_results=True, raise_errors=False, loop=client.loop)

    def outcomes(self) -> Iterator[Outcome[Any]]:
        try:
            self._submit_more()
            while self._in_flight:
                future, result = self._first_done()
                work = self._in_flight.pop(future.key, None)
                if work is None or self._other_goes_on(work, future, result):
                    continue
                outcomes = self._settle(work, future, result)
                self._submit_more()
                yield from outcomes
        finally:
            self._cancel()

    def _settle(self, work: _Work, future: Future[Any], result: Any) -> list[Outcome[Any]]:
        status = future.status
        if status == "finished":
            self._finished.append(Finished(time.monotonic() - work.begun, work.n_bytes))
            self._places.remember(future, result.kept)
        for one in work.futures:
            self._in_flight.pop(one.key, None)
            one.release()
        return self._judge(work.indices, status, result)

    def _first_done(self) -> tuple[Future[Any], Any]:
        while not self._done.has_ready():
            with self._done.thread_condition:
                self._done.thread_condition.wait(timeout=0.1)
            if time.monotonic() > self._looked + LOOK_SECONDS:
                self._start_stranded()
                self._start_stragglers()
                self._looked = time.monotonic()
        return cast(tuple[Future[Any], Any], next(self._done))

    def _other_goes_on(self, work: _Work, future: Future[Any], result: Any) -> bool:
        """Whether a future lost its workers whose items another future is still at; it is forgotten then."""
        if len(work.futures) == 1 or future.status != "error" or not isinstance(result[1], KilledWorker):
            return False
        work.futures.remove(future)
        future.release()
        return True

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
            self._send(work)  # an idle worker is who has least to do

    def _submit_more(self) -> None:
        if not self._trials.due:
            while (self._again or self._next < len(self._items)) and len(self._in_flight) < self._window():
                self._submit(self._take())
        if self._in_flight:
            return
        suspect = self._trials.next()
        if suspect is not None:
            self._submit((suspect,), alone=True)
        elif self._again or self._next < len(self._items):
            self._submit_more()

    def _take(self) -> tuple[int, ...]:
        if self._again:
            return (self._again.popleft(),)
        first, n, n_bytes = self._next, self._at_once(), 0
        # Shards that follow small ones may be large.
        while self._next < first + n and (self._next == first or n_bytes <= BATCH_BYTES):
            n_bytes += _size(self._items[self._next])
            self._next += 1
        return tuple(range(first, self._next))

    def _at_once(self) -> int:
        """How many items the next future gets: about `BATCH_SECONDS` of work, and none too many at the end."""
        left = len(self._items) - self._next
        if self._seconds is None or left <= 1:
            return min(1, left)
        if self._places.worker(self._items[self._next]):
            return 1
        share = left // (2 * IN_FLIGHT_PER_THREAD * self._n_threads)
        return max(1, min(int(BATCH_SECONDS / max(self._seconds, 1e-6)), share, MAX_BATCH))

    def _window(self) -> int:
        # Workers of a cluster come and go; asking the scheduler each time would double the cost of a shard.
        now = time.monotonic()
        if self._n_submitted % WINDOW_LASTS == 0 or now > self._counted + WINDOW_SECONDS:
            self._counted = now
            self._n_threads = max(1, sum(self._client.nthreads().values()))
        return IN_FLIGHT_PER_THREAD * self._n_threads

    def _submit(self, indices: tuple[int, ...], *, alone: bool = False) -> None:
        n_bytes = sum(_size(self._items[index]) for index in indices)
        worker = self._places.worker(self._items[indices[0]]) if len(indices) == 1 and not alone else None
        self._send(_Work(indices, n_bytes, time.monotonic(), worker, []), worker)

    def _send(self, work: _Work, worker: str | None = None) -> None:
        key = f"{self._name}-{work.indices[0]}-{self._run}-{self._n_submitted}"
        self._n_submitted += 1
        future = self._client.submit(
            call_each,
            self._function,
            [self._items[index] for index in work.indices],
            wanted=Assigned(get_worker, key),
            key=key,
            pure=False,
            workers=[worker] if worker else None,
            allow_other_workers=worker is not None,
        )
        work.futures.append(future)
        self._in_flight[key] = work
        self._done.add(future)

    def _judge(self, indices: tuple[int, ...], status: str | None, result: Any) -> list[Outcome[Any]]:
        """What a finished future says of its items; none for those that are to run again."""
        if status == "finished":
            self._seconds = result.seconds / len(result.results)
            self._again.extend(indices[len(result.results) :])
            return [Outcome(index, found) for index, found in zip(indices, result.results, strict=False)]
        if status != "error":
            raise RunFailedError(
                f"stage {self._name}: item {indices[0]} was dropped, the Dask scheduler has gone or was restarted"
            )
        error = cast(Exception, result[1]).with_traceback(result[2])
        if isinstance(error, KilledWorker):
            faults = [(index, self._trials.judge(index, error)) for index in indices]
            return [Outcome(index, None, fault) for index, fault in faults if fault is not None]
        if isinstance(error, NoValidWorkerError | NoWorkerError):
            raise RunFailedError(f"stage {self._name}: no Dask worker is left to run anything") from error
        if isinstance(error, RequestError | MixedVersionsError):
            raise error
        # It is the first item's: `call_each` stops before a later one that fails.
        self._again.extend(indices[1:])
        return [Outcome(indices[0], None, error)]

    def _cancel(self) -> None:
        futures = [future for work in self._in_flight.values() for future in work.futures]
        self._in_flight.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)
        self._trials.end()


def _size(item: Any) -> int:
    """Stored bytes that an item reads, 0 where it reads no shard."""
    return item.n_bytes if isinstance(item, ShardTask) else 0
