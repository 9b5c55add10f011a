"""The executor contract over the workers of a Dask client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from distributed import Client

from dsir_core.errors import WorkerLostError
from dsir_core.runtime.executor import Outcome, nothing
from tasks.locality import Places
from tasks.mapping import Map
from tasks.reduction import Reduction

Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger("dsir_core.tasks")


class DaskExecutor:
    """`dsir_core.runtime.executor.Executor` over the workers of a Dask client.

    Items that take a few milliseconds each go out several at once (`tasks.batching`), and few futures are in flight
    at a time. Items for which a worker keeps something run there if they can (`tasks.locality`).

    Dask fails a task with `KilledWorker` when the workers that held it kept dying, and cannot tell the item that killed
    them from one that only waited beside it. Such an item is a suspect: it is put aside and run again with nothing
    else in flight, and with the memory of all workers of its host (`tasks.suspects`). A suspect that loses its workers
    even so is the cause and fails; the others succeed.

    An item that takes far longer than others is started a second time where a worker is idle (`tasks.speculation`).
    What is finished first counts, and the other is cancelled.

    Args:
        client: a connected `distributed.Client`; the caller closes it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._places = Places(client)
        self.n_workers = max(1, sum(client.nthreads().values()))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`; Dask keeps no result, each future is released when its outcome is in.

        Raises:
            RequestError: as raised by `function` for any item.
            ClusterLostError: no worker is left to run anything, or the scheduler went away.
        """
        return Map(self.client, function, items, name, self._places).outcomes()

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

        Workers that come and go can take one result with them twice; then all is made again, once.

        Raises:
            WorkerLostError: an item lost its workers even so.
            ClusterLostError: no worker is left to run anything, or the scheduler went away.
        """
        n_reported = n_done = 0

        def report() -> None:
            nonlocal n_reported, n_done
            n_done += 1
            if n_done > n_reported:  # else it was reported by the reduction that was given up
                n_reported = n_done
                done()

        try:
            return cast(Result, Reduction(self.client, function, join, name, report).over(items))
        except WorkerLostError:
            logger.info("%s: a reduction lost its workers and is made again", name)
            n_done = 0
            return cast(Result, Reduction(self.client, function, join, name, report).over(items))
