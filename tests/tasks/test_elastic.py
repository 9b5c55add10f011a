"""Workers that come and go while a map or a reduction runs: nothing is lost, doubled or blamed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client

from tasks import executor as fanout
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor

ROOT = Path(__file__).parents[2]


class Fleet:
    """A scheduler and workers as processes of their own, as on machines that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = str(folder / "scheduler.json")
        self.processes: list[subprocess.Popen[bytes]] = []
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self.start("dask_scheduler", *options)

    def start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"log-{len(self.processes)}").open("wb") as log:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *words, "--scheduler-file", self.file]
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker that drains, as deployments/dask.yaml has them."""
        options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder)]
        return self.start("dask_worker", *options, "--preload-nanny", "tasks.draining")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    folder = tmp_path / "fleet"
    folder.mkdir()
    fleet = Fleet(folder)
    try:
        yield fleet
    finally:
        for process in fleet.processes:
            process.kill()
            process.wait()


def work(item: tuple[int, float, Path]) -> int:
    """Take some time, and say in a file that it began and that it ended."""
    index, seconds, folder = item
    with open(folder / str(index), "a") as log:
        log.write("(")
    time.sleep(seconds)
    with open(folder / str(index), "a") as log:
        log.write(")")
    return index


def add(parts: Sequence[int]) -> int:
    return sum(parts)


def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


@pytest.mark.long
def test_sigterm_lets_a_worker_finish_what_it_runs_and_hands_back_the_rest(fleet: Fleet, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    first = fleet.worker()
    with Client(scheduler_file=fleet.file, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        items = [(i, 4.0 if i < 2 else 0.05, runs) for i in range(12)]
        outcomes = DaskExecutor(client).map(work, items, name="count")
        found: list[tuple[int, object]] = []
        consumer = threading.Thread(target=lambda: found.extend((o.index, o.error) for o in outcomes))
        consumer.start()
        _until(lambda: (runs / "0").exists())
        fleet.worker()
        client.wait_for_workers(2, timeout=60)
        begun = {path.name for path in runs.iterdir()}
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        consumer.join(60)
        assert sorted(found) == [(i, None) for i in range(12)]
        # Not one was begun twice: what ran was finished, what waited had not begun.
        assert {path.name: path.read_text() for path in runs.iterdir()} == {str(i): "()" for i in range(12)}
        assert begun
        suspicious = client.run_on_scheduler(_suspicious)
        assert suspicious == 0


def _suspicious(dask_scheduler: object) -> int:
    return sum(prefix.suspicious for prefix in dask_scheduler.task_prefixes.values())  # type: ignore[attr-defined]


@contextmanager
def _changing(client: Client, sizes: Sequence[int]) -> Iterator[None]:
    """An adaptive cluster whose bounds go from one size to the other, over and over, inside the block."""
    stop = threading.Event()
    adaptive = client.cluster.adapt(minimum=sizes[-1], maximum=sizes[-1], interval="300ms", wait_count=1)

    def change() -> None:
        while True:
            for size in sizes:
                adaptive.minimum = adaptive.maximum = size
                if stop.wait(3.0):
                    return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        adaptive.stop()


@pytest.mark.long
@pytest.mark.parametrize("what", ["map", "reduce"])
def test_a_cluster_that_grows_and_shrinks_loses_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "WINDOW_SECONDS", 0.2)
    items = [(i, 0.1, tmp_path) for i in range(100)]
    with local_cluster(2) as client, _changing(client, [4, 1, 3, 2]):
        executor = DaskExecutor(client)
        if what == "reduce":
            assert executor.reduce(work, items, add, name="resample") == sum(range(100))
        else:
            outcomes = sorted((o.index, o.result, o.error) for o in executor.map(work, items, name="count"))
            assert outcomes == [(i, i, None) for i in range(100)]
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(100))
