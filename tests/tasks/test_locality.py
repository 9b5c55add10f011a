"""Items run where something is kept for them, and as well elsewhere."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client

from dsir_core.checkpoints.kinds import COUNTS
from dsir_core.shards.ngram_cache import NGRAM_CACHE, KeptShard
from dsir_core.shards.task import ShardTask
from tasks import speculation
from tasks.executor import DaskExecutor
from tasks.reduction import IN_FLIGHT_PER_THREAD


@dataclass(frozen=True)
class Kept(ShardTask):
    """An item for which a worker keeps something."""

    kind = COUNTS
    index: int
    place: str = ""
    keeps: bool = True

    @property
    def depends(self) -> dict[str, int]:
        return {"index": self.index}


def kept(n: int, folder: Path) -> list[Kept]:
    return [Kept(str(folder), i, f"{folder}/{i}") for i in range(n)]


def keep(item: Kept) -> int:
    assert NGRAM_CACHE.put(item.workdir, item.place, KeptShard(), 0)
    return os.getpid()


def process_of(_: Kept) -> int:
    return os.getpid()


def index_of(item: Kept) -> int:
    return item.index


def test_an_item_runs_where_something_is_kept_for_it(processes: Client, tmp_path: Path) -> None:
    executor = DaskExecutor(processes)
    items = kept(20, tmp_path)
    first = {o.index: o.result for o in executor.map(keep, items, name="count")}
    second = {o.index: o.result for o in executor.map(process_of, items, name="score")}
    # It is a wish: the scheduler may send an item elsewhere when a worker is idle.
    assert sum(first[index] == second[index] for index in range(20)) > 10


def kill_all_workers_once(item: Kept) -> int:
    """The first call of each worker ends it: all are gone for a moment."""
    killed = Path(item.workdir)
    if len(list(killed.iterdir())) < 2:
        (killed / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item.index


def test_items_whose_worker_is_gone_with_all_others_run_elsewhere(processes: Client, tmp_path: Path) -> None:
    executor = DaskExecutor(processes)
    items = kept(6, tmp_path)
    assert all(o.result is not None for o in executor.map(keep, items, name="count"))
    outcomes = list(executor.map(kill_all_workers_once, items, name="score"))
    assert sorted((o.index, o.result) for o in outcomes) == [(i, i) for i in range(6)]


def test_a_worker_that_hangs_is_not_wished_for_again(
    processes: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(speculation, "MIN_SECONDS", 1.0)
    caplog.set_level("INFO", "dsir_core.tasks")
    executor = DaskExecutor(processes)
    items = kept(100, tmp_path)
    assert all(o.result is not None for o in executor.map(keep, items, name="count"))
    pid = processes.run(os.getpid)[max(processes.nthreads())]
    os.kill(pid, signal.SIGSTOP)
    try:
        outcomes = list(executor.map(index_of, items, name="score"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(100)]
    again = [record for record in caplog.records if "a second time" in record.message]
    # What was in flight when the first of them was found, and not all that the worker kept something for.
    assert 1 <= len(again) <= 3 * 2 * IN_FLIGHT_PER_THREAD
