"""A shard that ends every worker that tries it is left out by name, and the rest is chosen as if it were not there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import parse_config
from dsir_core.errors import RunFailedError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import Executor, InlineExecutor, Outcome
from dsir_core.stages.run import Run
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tests.integration.conftest import DEMO, pool

__all__ = ["pool"]

TARGET = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}


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
