"""What a run may expect of its Dask cluster."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import dask
import psutil
import pytest
from dask.system import CPU_COUNT
from distributed import Client, Worker

from dsir_core.errors import RunFailedError
from tasks.cluster import (
    MIN_WORKER_BYTES,
    local_cluster,
    start_in_background,
    without_interrupts,
    worker_memory_bytes,
)
from tasks.cluster_settings import Address, Started
from tasks.clusters import connect, open_cluster
from tests.tasks.functions import until

REPOSITORY = Path(__file__).parents[2]


def describe(dask_worker: Worker) -> tuple[int, str]:
    return dask_worker.state.nthreads, dask_worker.local_directory


def warn(x: int) -> int:
    logging.getLogger("dsir_core.test").warning("shard %d is odd", x)
    return os.getpid()


def test_local_cluster_is_single_threaded_processes_that_leave_nothing_behind(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with local_cluster(2) as client:
        workers = list(client.run(describe).values())
        pids = {*client.run(os.getpid).values()}
        assert [n_threads for n_threads, _ in workers] == [1, 1]
        assert len(pids - {os.getpid()}) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not any(Path(directory).exists() for _, directory in workers)
    assert capfd.readouterr() == ("", "")


def test_warnings_of_a_worker_are_logged_here(processes: Client, caplog: pytest.LogCaptureFixture) -> None:
    # A cluster that is silent silences the handlers of its logger, among them pytest's, which are those of all loggers.
    caplog.set_level(logging.WARNING)
    assert processes.submit(warn, 3).result() != os.getpid()
    until(lambda: "shard 3 is odd" in caplog.messages)


def test_default_is_a_worker_a_core() -> None:
    with local_cluster(processes=False) as client:
        assert sum(client.nthreads().values()) == CPU_COUNT


def test_memory_is_shared_but_never_less_than_a_worker_needs() -> None:
    assert worker_memory_bytes(1) >= worker_memory_bytes(2) >= worker_memory_bytes(10_000)
    assert worker_memory_bytes(10_000) == MIN_WORKER_BYTES
    assert worker_memory_bytes(4, 2 * 10**9) == 2 * 10**9


def test_settings_of_dask_come_back() -> None:
    with dask.config.set({"distributed.scheduler.no-workers-timeout": "7 minutes"}):
        with local_cluster(1, processes=False):
            assert dask.config.get("distributed.scheduler.no-workers-timeout") == "10 minutes"
            assert dask.config.get("distributed.deploy.lost-worker-timeout") == "1000 days"
        assert dask.config.get("distributed.scheduler.no-workers-timeout") == "7 minutes"


def test_start_in_background_closes_a_cluster_that_nobody_asked_for() -> None:
    threads_before = threading.active_count()
    with start_in_background(local_cluster(1, processes=False)) as start:
        scheduler = start.result(60).scheduler_info()["address"]
    assert scheduler
    with start_in_background(local_cluster(1, processes=False)):
        pass
    assert threading.active_count() <= threads_before + 2


def test_nobody_waits_for_workers_of_a_cluster_that_is_not_wanted_any_more() -> None:
    options = {"n_workers": 0, "processes": False, "dashboard_address": None}
    settings = Started(class_="distributed.LocalCluster", options=options, wait_seconds=3600)
    given_up = threading.Event()
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, start_in_background(open_cluster(settings, given_up=given_up), given_up) as start:
        with pytest.raises(TimeoutError):
            start.result(2)
        raise KeyboardInterrupt


class Ended(BaseException):
    """As Prefect's TerminationSignal, which is no KeyboardInterrupt."""


class Closing:
    """What is asked of a cluster when it is not wanted any more."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_cluster_that_is_just_starting_at_sigterm_is_closed() -> None:
    made = Closing()
    begun = threading.Event()

    def build() -> Closing:
        begun.set()
        time.sleep(0.5)
        return made

    def end(*_: object) -> None:
        raise Ended

    def send() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        threading.Thread(target=send).start()
        with pytest.raises(Ended), without_interrupts(build):  # type: ignore[type-var]
            pytest.fail("a signal was lost")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert made.closed


def test_start_in_background_tells_what_failed() -> None:
    said = pytest.raises(RunFailedError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9")
    with start_in_background(connect(Address(address="tcp://127.0.0.1:9", wait_seconds=0.5))) as start, said:
        start.result(60)


def test_interrupting_the_whole_process_group_ends_quietly_and_leaves_nothing() -> None:
    program = textwrap.dedent("""
        import os, time
        from tasks.cluster import local_cluster
        from tasks.executor import DaskExecutor

        if __name__ == "__main__":
            try:
                with local_cluster(2) as client:
                    print(*client.run(os.getpid).values(), flush=True)
                    for outcome in DaskExecutor(client).map(time.sleep, [0.001] + [0.5] * 1000, name="score"):
                        print("begun", flush=True)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output.splitlines()[-1] == "interrupted"
    assert errors == ""
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_default_of_workers_knows_a_containers_quota() -> None:
    program = textwrap.dedent("""
        import builtins, io
        opened = builtins.open

        def with_a_quota_of_one_core(path, *arguments, **options):
            if str(path).endswith(("cpu.cfs_quota_us", "cpu.cfs_period_us")):
                return io.StringIO("100000")
            return opened(path, *arguments, **options)

        builtins.open = with_a_quota_of_one_core
        from tasks.cluster import local_cluster

        with local_cluster(processes=False) as client:
            print(sum(client.nthreads().values()))
        """)
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout == b"1\n"
