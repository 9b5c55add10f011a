"""Shards that lost their workers, each tried once by itself: the one that ends its workers is found, the others go on.

Dask fails a task with `KilledWorker` when the workers that held it kept dying, and cannot tell the shard that killed
them from one that only waited beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque

from distributed import Client
from distributed.comm.addressing import get_address_host
from distributed.scheduler import KilledWorker

from dsir_core.errors import WorkerLostError
from tasks.dask_private import lend_memory, memory_limit

SUSPECTS_BEFORE_TRIAL = 4
"""So many shards that lost their workers are tried at once rather than at the end, so that a caller
hears early of a fault that every shard has."""


RESTART_SECONDS = 15.0
"""How long a trial waits for workers that were lost to be there again, so that there is room to give."""


class Trials:
    """The suspects of one map; an item is a suspect at most twice, the second time alone."""

    def __init__(self, client: Client, stage: str) -> None:
        self._client, self._stage = client, stage
        self._suspects: deque[int] = deque()
        self._killed: dict[int, list[int]] = {}
        """Workers lost while they held an item, by item: one number for each time it was a suspect."""
        self._room = 0
        """Bytes that each worker may use during a trial; 0 where no nanny limits it."""
        self._n_workers = len(client.nthreads())
        self.under_way = False
        """Whether nothing else may run."""

    @property
    def due(self) -> bool:
        """Whether there are so many suspects that they are tried before anything new begins."""
        return self.under_way or len(self._suspects) >= SUSPECTS_BEFORE_TRIAL

    def next(self) -> int | None:
        """The next suspect, to be run alone and with more room; None when there is none, and others may run again."""
        if self._suspects:
            if not self.under_way:
                self._make_room()
            self.under_way = True
            return self._suspects.popleft()
        self.end()
        return None

    def end(self) -> None:
        """Let workers have their usual memory."""
        self.under_way = False
        if self._room and self._client.status == "running":
            self._wait_for_workers()  # a nanny is reached by its worker
            self._client.run(lend_memory, {}, nanny=True, on_error="ignore")
        self._room = 0

    def _make_room(self) -> None:
        """Let each worker use the memory of all workers of its host: the others have nothing to do."""
        self._wait_for_workers()
        found = self._client.run(memory_limit, nanny=True, on_error="ignore").values()
        hosts: dict[str, int] = defaultdict(int)
        for _, worker, limit in found:
            hosts[get_address_host(worker)] += limit
        limits = {nanny: hosts[get_address_host(worker)] for nanny, worker, limit in found if limit}
        if limits:
            self._client.run(lend_memory, limits, nanny=True, on_error="ignore")
            self._room = min(limits.values())

    def _wait_for_workers(self) -> None:
        deadline = time.monotonic() + RESTART_SECONDS
        while len(self._client.nthreads()) < self._n_workers and time.monotonic() < deadline:
            time.sleep(0.1)

    def judge(self, item: int, error: KilledWorker) -> WorkerLostError | None:
        """Note that an item lost its workers: what is wrong with it, or None when it is to be tried alone."""
        self._killed.setdefault(item, []).append(error.allowed_failures + 1)
        if not self.under_way:
            self._suspects.append(item)
            return None
        times, alone = sum(self._killed[item]), self._killed[item][-1]
        room = f", with {self._room / 1e9:.1f} GB of memory" if self._room else ""
        return WorkerLostError(
            f"stage {self._stage}: item {item} lost its worker {times} times, {alone} of them while "
            f"nothing else ran{room}; most often a worker needs more memory than it may have"
        )
