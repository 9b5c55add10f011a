"""Futures in the order in which they complete, each with its result or its error."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future


@dataclass(frozen=True)
class Completed:
    """A future that has completed."""

    future: Future[Any]
    result: Any
    error: Exception | None
    """What it raised, `distributed.CancelledError` where Dask dropped it; None when there is a result.

    It was right when the future completed. The future's own `status` may have changed since: a worker that dies takes
    a result with it, and Dask then calls the future lost.
    """


class CompletionQueue:
    """Fetches the results of futures as they complete.

    `distributed.as_completed` (2026.8) does not suit: it cannot wait for a limited time, and it never yields a future
    whose result was lost on the way here and whose second run failed.

    Args:
        client: of the futures.
    """

    def __init__(self, client: Client) -> None:
        assert client.loop is not None  # it is connected
        self._loop = client.loop
        self._completed: queue.SimpleQueue[Completed] = queue.SimpleQueue()

    def add(self, future: Future[Any]) -> None:
        """Wait for a future, in the client's event loop."""
        self._loop.add_callback(self._fetch, future)

    async def _fetch(self, future: Future[Any]) -> None:
        try:
            completed = Completed(future, await future, None)
        except Exception as error:
            completed = Completed(future, None, error)
        self._completed.put(completed)

    def next(self, seconds: float) -> Completed | None:
        """The next completed future; None when none completes within `seconds`."""
        try:
            return self._completed.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
