"""The executor contract over Dask: one future a shard, few in flight, outcomes as they come."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from distributed import Client, Future, as_completed
from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

from dsir_core.errors import RequestError, RunFailedError
from dsir_core.executor import Outcome

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_THREAD = 2
"""One runs and one waits: a worker is never idle, and its death costs few shards a second run."""

SUSPECTS_BEFORE_TRIAL = 4
"""So many shards that lost their workers are tried at once rather than at the end, so that a caller
hears early of a fault that every shard has."""


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
        self.n_workers = max(1, sum(client.nthreads().values()))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`; Dask keeps no result, each future is released when its outcome is in.

        Raises:
            RequestError: as raised by `function` for any item.
            RunFailedError: no worker is left to run anything, or the scheduler went away.
        """
        return _Map(self._client, function, items, name).outcomes()


class _Map:
    """The state of one `map`: what has not begun, what is in flight, who is suspected."""

    def __init__(self, client: Client, function: Callable[[Any], Any], items: Sequence[Any], name: str) -> None:
        self._client = client
        self._function = function
        self._items = items
        self._name = name
        self._run = uuid.uuid4().hex[:8]
        self._next = 0
        self._in_flight: dict[str, tuple[int, Future[Any]]] = {}
        self._suspects: deque[int] = deque()
        self._on_trial = False
        self._killed: dict[int, list[int]] = {}
        """Workers lost while they held an item, by item: one number for each time it was a suspect."""
        self._n_threads = 1
        self._done = as_completed(with_results=True, raise_errors=False, loop=client.loop)

    def outcomes(self) -> Iterator[Outcome[Any]]:
        try:
            self._submit_more()
            while self._in_flight:
                future, result = next(self._done)
                index, _ = self._in_flight.pop(future.key)
                status = future.status
                future.release()
                outcome = self._judge(index, status, result)
                self._submit_more()
                if outcome is not None:
                    yield outcome
        finally:
            self._cancel()

    def _submit_more(self) -> None:
        if not self._on_trial and len(self._suspects) < SUSPECTS_BEFORE_TRIAL:
            while self._next < len(self._items) and len(self._in_flight) < self._window():
                self._submit(self._next)
                self._next += 1
        if self._in_flight:
            return
        self._on_trial = bool(self._suspects)
        if self._on_trial:
            self._submit(self._suspects.popleft())
        elif self._next < len(self._items):
            self._submit_more()

    def _window(self) -> int:
        # Workers of a cluster come and go; asking the scheduler each time would double the cost of a shard.
        if self._next % 64 == 0:
            self._n_threads = max(1, sum(self._client.nthreads().values()))
        return IN_FLIGHT_PER_THREAD * self._n_threads

    def _submit(self, index: int) -> None:
        key = f"{self._name}-{index}-{self._run}-{len(self._killed.get(index, ()))}"
        future = self._client.submit(self._function, self._items[index], key=key, pure=False)
        self._in_flight[key] = index, future
        self._done.add(future)

    def _judge(self, index: int, status: str, result: Any) -> Outcome[Any] | None:
        """What a finished future says of its item; None when the item is to run again."""
        if status == "finished":
            return Outcome(index, result)
        if status != "error":
            raise RunFailedError(
                f"stage {self._name}: item {index} was dropped, the Dask scheduler has gone or was restarted"
            )
        error = cast(Exception, result[1]).with_traceback(result[2])
        if isinstance(error, KilledWorker):
            return self._suspect(index, error)
        if isinstance(error, NoValidWorkerError | NoWorkerError):
            raise RunFailedError(f"stage {self._name}: no Dask worker is left to run anything") from error
        if isinstance(error, RequestError):
            raise error
        return Outcome(index, None, error)

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
