"""What a shard costs the driver, the scheduler and a worker, by the number of workers: part of `make scale`.

A scheduler is a process of its own; workers share a few processes, single-threaded as those of a run; the driver is
this process with `tasks.executor.DaskExecutor`. A shard does nothing. Processor time is what counts: the clock says how
long two cores take for all three.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client

from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.runtime.executor import LazySequence
from tasks import batching
from tasks.cluster import DASK_CONFIG
from tasks.executor import DaskExecutor

WORKERS_PER_PROCESS = 250
START_SECONDS = 600.0
MEASURED = ("driver", "scheduler")
SHARD_BYTES = 2**27

HOST_OF_WORKERS = """
import asyncio, sys
import dask
from distributed import Worker
from tasks.cluster import DASK_CONFIG

async def main(address, n):
    with dask.config.set(DASK_CONFIG):
        options = dict(nthreads=1, memory_limit=0, dashboard=False, dashboard_address=None)
        workers = [Worker(address, **options) for _ in range(n)]
        for some in (workers[i : i + 25] for i in range(0, n, 25)):
            await asyncio.gather(*some)
        await asyncio.gather(*(worker.finished() for worker in workers))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@dataclass(frozen=True)
class Trivial:
    """A shard that costs nothing, of the size of one that does."""

    shard: Shard
    checkpoint: str


@dataclass(frozen=True)
class Done:
    """What a shard function returns."""

    tally: Tally
    reused: bool
    seconds: float


def nothing(task: Trivial) -> Done:
    """Do nothing with a shard."""
    return Done(Tally(1000, 0, 700_000, task.shard.n_bytes), False, 0.0)


def scheduled(shards: int, workers: int, alone: bool) -> dict[str, Any]:
    """Map over so many shards.

    Args:
        alone: each shard is a future of its own, as large ones are; else small ones share futures.
    """
    batching.BATCH_BYTES = sys.maxsize
    if alone:
        batching.MAX_BATCH = 1
    tasks = LazySequence(shards, lambda index: Trivial(Shard(index, (), SHARD_BYTES), f"counts/{index:064d}"))
    with _cluster(workers) as (client, scheduler, hosts):
        executor = DaskExecutor(client)
        for _ in executor.map(nothing, tasks[: 2 * workers], name="warm-up"):
            pass  # imports and connections
        driver = psutil.Process()
        everyone = {"driver": [driver], "scheduler": [scheduler], "workers": hosts}
        before = {name: _cpu(some) for name, some in everyone.items()}
        begin, n, peaks = time.perf_counter(), 0, {"driver": 0, "scheduler": 0}
        memory_before = {"driver": driver.memory_info().rss, "scheduler": scheduler.memory_info().rss}
        for outcome in executor.map(nothing, tasks, name="score"):
            assert outcome.error is None, outcome.error
            n += 1
            if n % 500 == 0:
                for name, process in (("driver", driver), ("scheduler", scheduler)):
                    peaks[name] = max(peaks[name], process.memory_info().rss)
        assert n == shards
        seconds = time.perf_counter() - begin
        cpu = {name: _cpu(some) - before[name] for name, some in everyone.items()}
    return {
        "shards": shards,
        "workers": workers,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "memory_before": memory_before,
        "memory_peak": peaks,
    }


def title(shards: int, workers: int, alone: bool) -> str:
    """What a row is of."""
    return f"{shards:,} {'large' if alone else 'small'} shards, {workers:,} workers"


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    each = {name: f"{seconds / row['shards'] * 1e3:.2f}" for name, seconds in row["cpu_seconds"].items()}
    megabytes = {name: [row[when][name] / 10**6 for when in ("memory_before", "memory_peak")] for name in MEASURED}
    cells = [f"{name} {each[name]} ms, {at:.0f} -> {most:.0f} MB" for name, (at, most) in megabytes.items()]
    return f"    {row['what']:<44} {row['seconds']:8.1f} s   " + "   ".join([*cells, f"workers {each['workers']} ms"])


def _cpu(processes: list[psutil.Process]) -> float:
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in processes)))


@contextmanager
def _cluster(workers: int) -> Iterator[tuple[Client, psutil.Process, list[psutil.Process]]]:
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, dask.config.set(DASK_CONFIG):
        file = Path(folder) / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *words, "--scheduler-file", str(file)]
        environment = os.environ | {
            "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",
            "DASK_TEMPORARY_DIRECTORY": folder,
            "DASK_LOGGING__DISTRIBUTED": "critical",
        }

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started.append(process)
            return process

        try:
            scheduler = start(*command)
            with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
                address = client.scheduler.address
                hosts = []
                for first in range(0, workers, WORKERS_PER_PROCESS):
                    n = min(WORKERS_PER_PROCESS, workers - first)
                    hosts.append(start(sys.executable, "-c", HOST_OF_WORKERS, address, str(n)))
                client.wait_for_workers(workers, timeout=START_SECONDS)
                yield client, psutil.Process(scheduler.pid), [psutil.Process(host.pid) for host in hosts]
        finally:
            for process in started:
                process.kill()
                process.wait()
