"""Shards that lost their workers, each tried once by itself: the one that ends its workers is found, the others go on.

Dask fails a task with `KilledWorker` when the workers that held it kept dying, and cannot tell the shard that killed
them from one that only waited beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass

from distributed import Client
from distributed.comm import get_address_host
from distributed.scheduler import KilledWorker

from dsir_core.errors import WorkerLostError
from dsir_core.worker import memory_limit, set_memory_limit

SUSPECTS_BEFORE_TRIAL = 4
"""So many shards that lost their workers are tried at once rather than at the end, so that a caller
hears early of a fault that every shard has."""


RESTART_SECONDS = 15.0
"""How long a trial waits for workers that were lost to be there again, so that there is room to give."""


@dataclass(frozen=True)
class Room:
    """A worker that may for a while use the memory of all workers of its host."""

    nanny: str
    worker: str
    usual: int
    """Bytes that it may otherwise use."""
    n_bytes: int


class Trials:
    """The suspects of one map; an item is a suspect at most twice, the second time alone."""

    def __init__(self, client: Client, stage: str) -> None:
        self._client, self._stage = client, stage
        self._suspects: deque[int] = deque()
        self._killed: dict[int, list[int]] = {}
        """Workers lost while they held an item, by item: one number for each time it was a suspect."""
        self._room: Room | None = None
        self._n_workers = len(client.nthreads())
        self.under_way = False
        """Whether nothing else may run."""

    @property
    def due(self) -> bool:
        """Whether there are so many suspects that they are tried before anything new begins."""
        return self.under_way or len(self._suspects) >= SUSPECTS_BEFORE_TRIAL

    def next(self) -> int | None:
        """The next suspect, to be run alone; None when there is none, and others may run again."""
        self.end()
        self.under_way = bool(self._suspects)
        return self._suspects.popleft() if self._suspects else None

    def make_room(self) -> str | None:
        """Give one worker the memory of the others of its host, which have nothing to do; its address.

        None where no worker has a limit that its nanny keeps.
        """
        deadline = time.monotonic() + RESTART_SECONDS
        while len(self._client.nthreads()) < self._n_workers and time.monotonic() < deadline:
            time.sleep(0.1)
        found = self._client.run(memory_limit, nanny=True, on_error="ignore").values()
        hosts: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for nanny, worker, limit in found:
            if worker and limit:
                hosts[get_address_host(worker)].append((nanny, worker, limit))
        if not hosts:
            return None
        largest = max(hosts.values(), key=lambda workers: sum(limit for *_, limit in workers))
        nanny, worker, limit = largest[0]
        self._room = Room(nanny, worker, limit, sum(limit for *_, limit in largest))
        self._limit(self._room.n_bytes)
        return worker

    def end(self) -> None:
        """Take back what `make_room` gave."""
        if self._room is not None and self._client.status == "running":
            self._limit(self._room.usual)
        self._room = None

    def judge(self, item: int, error: KilledWorker) -> WorkerLostError | None:
        """Note that an item lost its workers: what is wrong with it, or None when it is to be tried alone."""
        self._killed.setdefault(item, []).append(error.allowed_failures + 1)
        if not self.under_way:
            self._suspects.append(item)
            return None
        times, alone = sum(self._killed[item]), self._killed[item][-1]
        room = f", with {self._room.n_bytes / 1e9:.1f} GB for it" if self._room else ""
        return WorkerLostError(
            f"stage {self._stage}: item {item} lost its worker {times} times, {alone} of them while "
            f"nothing else ran{room}; most often a worker needs more memory than it may have"
        )

    def _limit(self, n_bytes: int) -> None:
        assert self._room is not None
        self._client.run(set_memory_limit, self._room.nanny, n_bytes, nanny=True, on_error="ignore")
