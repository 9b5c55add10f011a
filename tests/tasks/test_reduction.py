"""What a reduction over Dask promises its callers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dsir_core.errors import DamagedFileError, WorkerLostError
from dsir_core.runtime.executor import FAN_IN, Executor, InlineExecutor
from tasks.executor import DaskExecutor
from tasks.reduction import IN_FLIGHT_PER_THREAD
from tests.tasks.functions import (
    Item,
    add,
    fail_on_odd,
    hold,
    kill_worker_on_7_and_8,
    kill_worker_once,
    square,
    task_names,
    until,
)


def tenth(x: int) -> float:
    return 0.1 * x


def as_text(x: int) -> str:
    return str(x)


def nest(parts: Sequence[str]) -> str:
    return f"({' '.join(parts)})"


@pytest.mark.parametrize("n", [1, 2, FAN_IN, FAN_IN + 1, FAN_IN**2, FAN_IN**2 + 1, 300])
def test_a_reduction_joins_in_the_same_order_everywhere(threads: Client, n: int) -> None:
    executors: list[Executor] = [DaskExecutor(threads), InlineExecutor()]
    sums = [executor.reduce(tenth, range(n), add, name="resample") for executor in executors]
    assert sums[0] == sums[1] == pytest.approx(0.1 * n * (n - 1) / 2)
    trees = [executor.reduce(as_text, range(n), nest, name="resample") for executor in executors]
    assert trees[0] == trees[1]
    assert trees[0].replace("(", "").replace(")", "").split() == [str(i) for i in range(n)]


def test_only_the_whole_of_a_reduction_comes_back(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[object] = []
    gather = processes.scheduler.gather  # type: ignore[union-attr]

    async def counting(*args: Any, **options: Any) -> Any:
        found = await gather(*args, **options)
        gathered.extend(found["data"])
        return found

    monkeypatch.setattr(processes.scheduler, "gather", counting, raising=False)
    assert DaskExecutor(processes).reduce(square, range(100), add, name="resample") == sum(x * x for x in range(100))
    assert len(gathered) == 1


def test_few_leaves_are_in_flight(threads: Client, tmp_path: Path) -> None:
    items = [Item(i, tmp_path) for i in range(50)]
    reducing = threading.Thread(
        target=DaskExecutor(threads).reduce, args=(hold, items, add), kwargs={"name": "resample"}
    )
    reducing.start()
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    leaves = [name for name in task_names(threads) if "-leaf-" in name]
    (tmp_path / "gate").touch()
    reducing.join()
    assert 2 <= len(leaves) <= IN_FLIGHT_PER_THREAD * 2
    until(lambda: not task_names(threads))


def test_an_error_ends_a_reduction(threads: Client) -> None:
    # Of several errors, the first that arrives ends it.
    for executor, failed in ((DaskExecutor(threads), r"file-\d*[13579]"), (InlineExecutor(), "file-1")):
        with pytest.raises(DamagedFileError, match=f"^{failed}: truncated"):
            executor.reduce(fail_on_odd, range(100), add, name="resample")
    until(lambda: not task_names(threads))


def test_a_reduction_outlives_a_worker(processes: Client, tmp_path: Path) -> None:
    items = [Item(i, tmp_path) for i in range(20)]
    assert DaskExecutor(processes).reduce(kill_worker_once, items, add, name="resample") == sum(range(20))


def test_a_reduction_that_kills_its_workers_fails(processes: Client, tmp_path: Path) -> None:
    items = [Item(i, tmp_path) for i in range(5, 9)]
    with pytest.raises(WorkerLostError, match=r"stage resample: .* lost its worker"):
        DaskExecutor(processes).reduce(kill_worker_on_7_and_8, items, add, name="resample")
