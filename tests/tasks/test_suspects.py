"""A shard that ends every worker that tries it fails by name, and the rest is selected as if it were not there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dsir_core.config.request import parse_config
from dsir_core.errors import RunFailedError, WorkerLostError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import Executor, InlineExecutor, Outcome
from dsir_core.stages.run import Run
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tasks.reduction import IN_FLIGHT_PER_THREAD
from tasks.suspects import SUSPECTS_BEFORE_TRIAL
from tests.integration.conftest import DEMO, pool
from tests.tasks.functions import Item, kill_worker, kill_worker_on_7_and_8

__all__ = ["pool"]

TARGET = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}


def test_exactly_the_items_that_kill_workers_fail(processes: Client, tmp_path: Path) -> None:
    items = [Item(i, tmp_path) for i in range(20)]
    outcomes = list(DaskExecutor(processes).map(kill_worker_on_7_and_8, items, name="score"))
    failed = {o.index: o.error for o in outcomes if o.error}
    assert sorted(o.index for o in outcomes) == list(range(20))
    assert set(failed) == {7, 8}
    assert all(isinstance(error, WorkerLostError) for error in failed.values())
    for said in ("stage score", "item 7", "4 times, 2 of them", "memory"):
        assert said in str(failed[7])


def test_a_fault_of_every_item_is_heard_of_early(processes: Client, tmp_path: Path) -> None:
    outcomes = DaskExecutor(processes).map(kill_worker, [Item(i, tmp_path) for i in range(200)], name="fit")
    assert isinstance(next(outcomes).error, WorkerLostError)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) <= SUSPECTS_BEFORE_TRIAL + IN_FLIGHT_PER_THREAD * 2


def need_memory(item: tuple[int, int]) -> int:
    """Fill some megabytes; the nanny looks at them every 0.1 s, so that what exceeds its limit is seen by it."""
    _, megabytes = item
    held = []
    for _ in range(megabytes // 50):
        held.append(bytearray(b"x" * (50 * 10**6)))
        time.sleep(0.05)
    time.sleep(0.3 if megabytes else 0)
    return len(held)


@pytest.mark.long
def test_an_item_that_needs_more_memory_gets_it_alone_and_one_that_needs_too_much_fails() -> None:
    needs = {4: 600, 9: 2500}
    with local_cluster(2, memory_limit=600 * 10**6) as client:
        items = [(i, needs.get(i, 0)) for i in range(16)]
        outcomes = {o.index: o for o in DaskExecutor(client).map(need_memory, items, name="count")}
        assert sorted(outcomes) == list(range(16))
        assert {i for i, o in outcomes.items() if o.error} == {9}
        assert outcomes[4].result == 12
        assert isinstance(outcomes[9].error, WorkerLostError)
        assert "with 1.2 GB of memory" in str(outcomes[9].error)
        assert {nanny.memory_manager.memory_limit for nanny in client.cluster.workers.values()} == {600 * 10**6}


@dataclass(frozen=True)
class Deadly:
    """A shard function that ends its process where a shard reads one file."""

    function: Any
    stage: str
    log: Path

    def __call__(self, item: Any) -> Any:
        shard = getattr(item, "shard", None)
        if shard is not None and any(part.file.path == "deadly.jsonl" for part in shard.ranges):
            with self.log.open("a") as log:
                log.write(f"{self.stage}\n")
            os._exit(3)
        return self.function(item)


class DeadlyExecutor(DaskExecutor):
    """Every stage is deadly from one on."""

    def __init__(self, executor: Executor, log: Path, stages: Sequence[str]) -> None:
        self._inner, self._log, self._stages = executor, log, stages
        self.n_workers = executor.n_workers

    def map(self, function: Any, items: Sequence[Any], *, name: str) -> Iterator[Outcome[Any]]:
        deadly = Deadly(function, name, self._log) if name in self._stages else function
        return self._inner.map(deadly, items, name=name)

    def reduce(self, *arguments: Any, **options: Any) -> Any:
        return self._inner.reduce(*arguments, **options)


@pytest.mark.long
def test_a_shard_that_ends_every_worker_is_left_out_by_name(tmp_path: Path, pool: Path) -> None:
    lines = pool.read_bytes().splitlines(keepends=True)
    raw, without = tmp_path / "raw", tmp_path / "without"
    for folder in (raw, without):
        folder.mkdir()
        for i in range(4):
            (folder / f"{i}.jsonl").write_bytes(b"".join(lines[5 + i :: 4]))
    (raw / "deadly.jsonl").write_bytes(b"".join(lines[:5]))

    def run(name: str, folder: Path, executor: Executor, **more: Any) -> dict[str, Any]:
        places = {"output": str(tmp_path / name), "workdir": str(tmp_path / f"{name}.work")}
        values = {"raw": str(folder), "target": TARGET, "count": 70, "shard_bytes": 10**6, **places, **more}
        return select(Run(parse_config(values), executor))

    expected = run("expected", without, InlineExecutor())
    log = tmp_path / "log"
    with local_cluster(2) as client:
        deadly = DeadlyExecutor(DaskExecutor(client), log, ("count", "score"))
        with pytest.raises(RunFailedError, match=r"end every worker.*deadly\.jsonl.*--max-bad-shards 1"):
            run("found", raw, deadly)
        asked = len(log.read_text().split())
        report = run("found", raw, deadly, max_bad_shards=1)
    # Twice among others and twice alone, in each run; and not again in the next stage.
    assert (asked, log.read_text().split()) == (4, ["count"] * 8)
    assert list(report["damaged"]) == ["deadly.jsonl"]
    assert "lost its worker" in report["damaged"]["deadly.jsonl"]
    assert any("left out" in note and "deadly.jsonl" in note for note in report["notes"])
    assert report["selection_digest"] == expected["selection_digest"]
