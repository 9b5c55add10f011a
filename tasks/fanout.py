"""The executor contract over Dask: a future for a shard or for a few small ones, few at once, outcomes as they come."""

from __future__ import annotations

import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from distributed import CancelledError, Client, Future, as_completed
from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

from dsir_core.errors import MixedVersionsError, RequestError, RunFailedError, WorkerLostError
from dsir_core.executor import Outcome, Tree
from dsir_core.worker import Checked, call_each, versions

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_THREAD = 2
"""One runs and one waits: a worker is never idle, and its death costs few shards a second run."""

WINDOW_LASTS = 64
WINDOW_SECONDS = 2.0
"""So many futures go out, or so long it takes, before the workers are counted again."""

SUSPECTS_BEFORE_TRIAL = 4
"""So many shards that lost their workers are tried at once rather than at the end, so that a caller
hears early of a fault that every shard has."""

JOIN_PRIORITY = 10
"""Joins go before leaves, so that few results lie about."""

BATCH_SECONDS = 0.2
BATCH_BYTES = 16 * 2**20
MAX_BATCH = 64
"""A future's items: so many that its cost does not matter, so few that a lost worker costs little."""


class DaskExecutor:
    """`dsir_core.executor.Executor` over the workers of a Dask client.

    Dask fails a task with `KilledWorker` when the workers that held it kept dying, and cannot tell
    the shard that killed them from one that only waited beside it. Such a shard is a suspect: it
    is put aside and run again with nothing else in flight. A suspect that loses its workers alone
    is the cause and fails; the others succeed.

    Args:
        client: a connected `distributed.Client`; the caller closes it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._places: dict[str, str] = {}
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
    ) -> Result:
        """See `Executor.reduce`; results stay with the workers, and Dask makes those again that a lost worker held.

        Raises:
            RunFailedError: no worker is left to run anything, or the scheduler went away.
        """
        return cast(Result, _Reduction(self._client, function, join, name).over(items))


class _Reduction:
    """One `reduce`: leaves a few at once, and above them joins that Dask runs as soon as it can."""

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        join: Callable[[Sequence[Any]], Any],
        name: str,
    ) -> None:
        self._client = client
        self._function, self._join = Checked(function, versions()), Checked(join, versions())
        self._stage, self._run = name, uuid.uuid4().hex[:8]
        self._n_submitted = 0
        self._running: set[Future[Any]] = set()
        """Leaves that are not finished."""
        self._alive: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        """All that Dask holds a result of for us: leaves and joins go when they are joined themselves."""

    def over(self, items: Sequence[Any]) -> Any:
        done = as_completed(raise_errors=False, loop=self._client.loop)
        tree = Tree(self._join_there)
        try:
            for index, item in enumerate(items):
                if index % WINDOW_LASTS == 0:
                    window = IN_FLIGHT_PER_THREAD * max(1, sum(self._client.nthreads().values()))
                if len(self._running) >= window:
                    self._judge(next(done))
                leaf = self._submit(self._function, item, "leaf", 0)
                self._running.add(leaf)
                done.add(leaf)
                tree.add(leaf)
            for leaf in done:
                self._judge(leaf)
            return self._value(tree.root())
        finally:
            # Not left to the end of references, since an error's traceback would hold some; nor to `Client.cancel`,
            # whose scheduler side (2026.8) fails an assertion where a join depends on what is cancelled.
            for future in list(self._alive):
                future.release()

    def _join_there(self, parts: Sequence[Future[Any]]) -> Future[Any]:
        return self._submit(self._join, list(parts), "join", JOIN_PRIORITY)

    def _submit(self, function: Callable[[Any], Any], argument: Any, what: str, priority: int) -> Future[Any]:
        self._n_submitted += 1
        key = f"{self._stage}-{what}-{self._run}-{self._n_submitted}"
        future = self._client.submit(function, argument, key=key, pure=False, priority=priority)
        self._alive.add(future)
        return future

    def _judge(self, future: Future[Any]) -> None:
        self._running.discard(future)
        if future.status != "finished":
            self._value(future)

    def _value(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except KilledWorker as error:
            raise WorkerLostError(
                f"stage {self._stage}: a group of shards lost its worker "
                f"{error.allowed_failures + 1} times; most often a worker needs more memory than it may have"
            ) from error
        except (NoValidWorkerError, NoWorkerError) as error:
            raise RunFailedError(f"stage {self._stage}: no Dask worker is left to run anything") from error
        except CancelledError as error:
            raise RunFailedError(
                f"stage {self._stage}: a reduction was dropped, the Dask scheduler has gone or was restarted"
            ) from error


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
        places: dict[str, str],
    ) -> None:
        self._client = client
        self._places = places
        """Worker that keeps something, by place."""
        self._function = Checked(function, versions())
        self._items = items
        self._name = name
        self._run = uuid.uuid4().hex[:8]
        self._next = 0
        self._again: deque[int] = deque()
        """Items that stood behind one that failed, and that one: each goes out by itself."""
        self._seconds: float | None = None
        self._in_flight: dict[str, tuple[tuple[int, ...], Future[Any]]] = {}
        self._suspects: deque[int] = deque()
        self._on_trial = False
        self._killed: dict[int, list[int]] = {}
        """Workers lost while they held an item, by item: one number for each time it was a suspect."""
        self._n_submitted = 0
        self._n_threads = 1
        self._counted = 0.0
        self._done = as_completed(with_results=True, raise_errors=False, loop=client.loop)

    def outcomes(self) -> Iterator[Outcome[Any]]:
        try:
            self._submit_more()
            while self._in_flight:
                future, result = next(self._done)
                indices, _ = self._in_flight.pop(future.key)
                status = future.status
                if status == "finished":
                    self._remember(future, indices, result[0])
                future.release()
                outcomes = self._judge(indices, status, result)
                self._submit_more()
                yield from outcomes
        finally:
            self._cancel()

    def _submit_more(self) -> None:
        if not self._on_trial and len(self._suspects) < SUSPECTS_BEFORE_TRIAL:
            while (self._again or self._next < len(self._items)) and len(self._in_flight) < self._window():
                self._submit(self._take())
        if self._in_flight:
            return
        self._on_trial = bool(self._suspects)
        if self._on_trial:
            self._submit((self._suspects.popleft(),))
        elif self._again or self._next < len(self._items):
            self._submit_more()

    def _take(self) -> tuple[int, ...]:
        if self._again:
            return (self._again.popleft(),)
        first, n, n_bytes = self._next, self._at_once(), 0
        # Shards that follow small ones may be large.
        while self._next < first + n and (self._next == first or n_bytes <= BATCH_BYTES):
            n_bytes += getattr(getattr(self._items[self._next], "shard", None), "n_bytes", 0)
            self._next += 1
        return tuple(range(first, self._next))

    def _at_once(self) -> int:
        """How many items the next future gets: about `BATCH_SECONDS` of work, and none too many at the end."""
        left = len(self._items) - self._next
        if self._seconds is None or left <= 1:
            return min(1, left)
        if self._places and self._worker(self._next):
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

    def _submit(self, indices: tuple[int, ...]) -> None:
        key = f"{self._name}-{indices[0]}-{self._run}-{self._n_submitted}"
        self._n_submitted += 1
        items = [self._items[index] for index in indices]
        worker = self._worker(indices[0]) if len(indices) == 1 else None
        future = self._client.submit(
            call_each,
            self._function,
            items,
            key=key,
            pure=False,
            workers=[worker] if worker else None,
            allow_other_workers=worker is not None,
        )
        self._in_flight[key] = indices, future
        self._done.add(future)

    def _worker(self, index: int) -> str | None:
        """The worker that keeps something for an item."""
        return self._places.get(getattr(self._items[index], "place", "")) if self._places else None

    def _remember(self, future: Future[Any], indices: tuple[int, ...], results: Sequence[Any]) -> None:
        """Note which worker keeps something; the scheduler knows where a result lies until it is released."""
        kept = [index for index, found in zip(indices, results, strict=False) if getattr(found, "kept", False)]
        workers = self._client.who_has([future])[future.key] if kept else ()
        for index in kept if workers else ():
            self._places[self._items[index].place] = workers[0]

    def _judge(self, indices: tuple[int, ...], status: str, result: Any) -> list[Outcome[Any]]:
        """What a finished future says of its items; none for those that are to run again."""
        if status == "finished":
            results, seconds = result
            self._seconds = seconds / len(results)
            self._again.extend(indices[len(results) :])
            return [Outcome(index, found) for index, found in zip(indices, results, strict=False)]
        if status != "error":
            raise RunFailedError(
                f"stage {self._name}: item {indices[0]} was dropped, the Dask scheduler has gone or was restarted"
            )
        error = cast(Exception, result[1]).with_traceback(result[2])
        if isinstance(error, KilledWorker):
            return [outcome for index in indices if (outcome := self._suspect(index, error)) is not None]
        if isinstance(error, NoValidWorkerError | NoWorkerError):
            raise RunFailedError(f"stage {self._name}: no Dask worker is left to run anything") from error
        if isinstance(error, RequestError | MixedVersionsError):
            raise error
        # It is the first item's: `call_each` stops before a later one that fails.
        self._again.extend(indices[1:])
        return [Outcome(indices[0], None, error)]

    def _suspect(self, index: int, error: KilledWorker) -> Outcome[Any] | None:
        self._killed.setdefault(index, []).append(error.allowed_failures + 1)
        if not self._on_trial:
            self._suspects.append(index)
            return None
        times, alone = sum(self._killed[index]), self._killed[index][-1]
        fault = RunFailedError(
            f"stage {self._name}: item {index} lost its worker {times} times, {alone} of them while "
            "nothing else ran; most often a worker needs more memory than it may have"
        )
        return Outcome(index, None, fault)

    def _cancel(self) -> None:
        futures = [future for _, future in self._in_flight.values()]
        self._in_flight.clear()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)
