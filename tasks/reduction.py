"""A reduction over Dask: leaves a few at once, and above them joins that Dask runs as soon as it can."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from distributed import CancelledError, Client, Future, as_completed
from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

from dsir_core.errors import ClusterLostError, WorkerLostError
from dsir_core.runtime.executor import Tree
from dsir_core.shards.versions import Checked, versions

IN_FLIGHT_PER_THREAD = 2
"""One runs and one waits: a worker is never idle, and its death costs few shards a second run."""

WINDOW_LASTS = 64
"""So many futures go out before the workers are counted again."""

JOIN_PRIORITY = 10
"""Joins go before leaves, so that few results lie about."""


class Reduction:
    """One `reduce`; its results stay with the workers."""

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        join: Callable[[Sequence[Any]], Any],
        name: str,
        done: Callable[[], None],
    ) -> None:
        self._client, self._done = client, done
        self._function, self._join = Checked(function, versions()), Checked(join, versions())
        self._stage, self._run = name, uuid.uuid4().hex[:8]
        self._n_submitted = 0
        self._running: set[Future[Any]] = set()
        """Leaves that are not finished."""
        self._alive: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        """All that Dask holds a result of for us: leaves and joins go when they are joined themselves."""

    def over(self, items: Sequence[Any]) -> Any:
        """See `Executor.reduce`."""
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
        self._done()

    def _value(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except KilledWorker as error:
            raise WorkerLostError(
                f"stage {self._stage}: a group of shards lost its worker "
                f"{error.allowed_failures + 1} times; most often a worker needs more memory than it may have"
            ) from error
        except (NoValidWorkerError, NoWorkerError) as error:
            raise ClusterLostError(f"stage {self._stage}: no Dask worker is left to run anything") from error
        except CancelledError as error:
            raise ClusterLostError(
                f"stage {self._stage}: a reduction was dropped, the Dask scheduler has gone or was restarted"
            ) from error
