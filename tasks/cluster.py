"""A Dask cluster on this machine, for the length of a run."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any, TypeVar

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.deploy.cluster import Cluster
from distributed.system import MEMORY_LIMIT

from tasks.dask_private import preload_forks
from tasks.plugins import WarmUp
from tasks.scratch import scratch_folder

AnyCluster = TypeVar("AnyCluster", bound=Cluster)

MIN_WORKER_BYTES = 10**9
"""A worker with its libraries, a model and one batch needs a few hundred megabytes."""

DASK_CONFIG: dict[str, Any] = {
    # A worker that is restarted on a busy machine takes longer than the default of 15 s, and one
    # that is given up never comes back.
    "distributed.deploy.lost-worker-timeout": "120s",
    # Without this a cluster that lost all its workers waits for ever.
    "distributed.scheduler.no-workers-timeout": "10 minutes",
    # A worker that says nothing for so long is given up, and what it was at runs elsewhere; Dask waits five minutes.
    "distributed.scheduler.worker-ttl": "60s",
    # The executor tries each suspect again by itself, so that two lost workers are evidence enough.
    "distributed.scheduler.allowed-failures": 1,
    # Results are receipts of a few hundred bytes and histograms of a few megabytes: there is nothing to spill, and a
    # worker paused for its own working memory would never resume. Above the limit it is restarted.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.multiprocessing-method": "spawn",
    # Dask keeps so many of the last messages to each worker for who debugs Dask, by default 1,000; ours hold up to 64
    # shards each, so that the scheduler's memory would grow with shards and workers.
    "distributed.admin.low-level-log-length": 10,
    # Dask's default makes the allocator give each buffer of a megabyte back to the system and fetch it again: reading
    # and hashing take twice as long.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 64 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 16 * 2**20,
    # A garbage collection or a kernel that holds the interpreter is no reason to speak.
    "distributed.admin.tick.limit": "60s",
    "distributed.comm.timeouts.connect": "60s",
}

LOCAL_CONFIG: dict[str, Any] = {
    # Nannies start their workers again, and nobody replaces one that is given up. The timer of one loss (Dask 2026.8)
    # would give up a worker that is just starting again after another.
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # A run that ends or is interrupted wants its workers gone, whatever /etc/dask says of those that stay.
    "distributed.nanny.preload": [],
    # Workers are forks of one process that has imported what they need: two that import it side by side cost a run on
    # two cores a second.
    "distributed.worker.multiprocessing-method": "forkserver",
}
"""For a cluster on this machine, over `DASK_CONFIG`."""

PRELOADED = [
    "distributed",
    "dsir_core.shards.extract",
    "dsir_core.shards.select",
    "dsir_core.shards.score",
    "dsir_core.shards.recover",
]
"""What that process imports. That compiles nothing, and starts no thread but that of Arrow's jemalloc, which knows of
forks."""


def worker_memory_bytes(n_workers: int, memory_limit: int | None = None) -> int:
    """Bytes that one of `n_workers` may use.

    `memory_limit`, or an equal share of what this machine (or its container) has, but no less than `MIN_WORKER_BYTES`.
    """
    if memory_limit is not None:
        return memory_limit
    return max(MIN_WORKER_BYTES, MEMORY_LIMIT // n_workers)


@contextmanager
def local_cluster(
    n_workers: int | None = None,
    *,
    memory_limit: int | None = None,
    processes: bool = True,
    verbose: bool = False,
) -> Iterator[Client]:
    """A client of a cluster on this machine: single-threaded workers, all gone on exit.

    Ctrl-C in the terminal reaches this process only: workers go on until the cluster is closed, and
    then have 4 s to end what they are at. Warnings that `dsir_core` logs on a worker are logged here.

    Args:
        n_workers: worker processes; None for one a core that this process may use, CPU quotas of containers included.
        memory_limit: bytes per worker, above which it is restarted; None for a share of the machine.
        processes: False for threads of this process (tests), without memory limit or restarts.
        verbose: show Dask's own log.
    """
    count = n_workers or CPU_COUNT
    level = logging.INFO if verbose else logging.CRITICAL
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch_folder(), ignore_cleanup_errors=True))
        stack.enter_context(dask.config.set({**DASK_CONFIG, **LOCAL_CONFIG, "temporary-directory": directory}))
        stack.enter_context(log_level("distributed", level))

        def build() -> LocalCluster:
            if processes:
                preload_forks(PRELOADED)
            return LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=processes,
                memory_limit=worker_memory_bytes(count, memory_limit) if processes else 0,
                dashboard_address=None,
                # Even without a dashboard the scheduler serves its metrics: by default on port 8787 of every
                # interface, with a warning when that is taken.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=level,
                local_directory=directory,
                # A fork has the environment of when the first cluster of this process began.
                **({"env": dict(os.environ)} if processes else {}),
            )

        cluster = stack.enter_context(without_interrupts(build))
        client = stack.enter_context(Client(cluster, set_as_default=False))
        if processes:
            client.register_plugin(WarmUp())
            client.forward_logging("dsir_core", level=logging.WARNING)
        yield client


class BackgroundStart:
    """A client that is being made in a thread; a context manager that closes it, made or not.

    Args:
        context: gives the client.
        given_up: is set when nobody wants it any more.
    """

    def __init__(self, context: AbstractContextManager[Client], given_up: threading.Event) -> None:
        self._context, self._given_up = context, given_up
        self._client: Future[Client] = Future()
        self._thread = threading.Thread(target=self._start, name="dask-start", daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            self._client.set_result(self._context.__enter__())
        except BaseException as error:
            self._client.set_exception(error)

    def result(self, timeout: float | None = None) -> Client:
        """The client, once it is there; raises what its start raised, or TimeoutError after `timeout` s."""
        return self._client.result(timeout)

    def __enter__(self) -> BackgroundStart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up.set()
        self._thread.join()
        if self._client.exception() is None:
            self._context.__exit__(kind, error, trace)


def start_in_background(
    context: AbstractContextManager[Client], given_up: threading.Event | None = None
) -> BackgroundStart:
    """Start `local_cluster(...)` or `connect(...)` in a thread, so that other start-up work goes on.

    Use as `with start_in_background(local_cluster()) as start: ...; client = start.result()`.

    Args:
        given_up: set at the end of the block, so that a context that knows it waits for no workers any more.
    """
    return BackgroundStart(context, given_up or threading.Event())


@contextmanager
def without_interrupts(build: Callable[[], AnyCluster]) -> Iterator[AnyCluster]:
    """The cluster that `build` makes, in a thread that takes neither SIGINT nor SIGTERM.

    A signal mask goes from a thread to the threads and processes it starts, through exec too. The
    cluster's event loop starts in that thread, and workers start from the loop, also when they are
    restarted later; so none of them ever sees the Ctrl-C that the terminal sends to all of them, nor
    the SIGTERM that Prefect sends to all processes of a run that is cancelled: this process ends them
    in order. A nanny that ends its worker for its memory uses SIGKILL, a tenth of a second later.
    """
    made: Future[AnyCluster] = Future()

    def run() -> None:
        if hasattr(signal, "pthread_sigmask"):
            # The first process would start multiprocessing's tracker, which unblocks SIGINT in its thread.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            cluster = build()
        except BaseException as error:
            if made.set_running_or_notify_cancel():
                made.set_exception(error)
            return
        if made.set_running_or_notify_cancel():
            made.set_result(cluster)
        else:
            cluster.close()

    thread = threading.Thread(target=run, name="dask-cluster")
    try:
        thread.start()
        cluster = made.result()
    except (
        BaseException
    ):  # Ctrl-C, or what Prefect makes of SIGTERM; perhaps before the thread is known to have started
        if not made.cancel() and made.exception() is None:
            made.result().close()
        if thread.is_alive():
            thread.join()
        raise
    with cluster:
        yield cluster


@contextmanager
def log_level(name: str, level: int) -> Iterator[None]:
    """Inside the block, what a logger shows."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
