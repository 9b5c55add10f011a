"""The demo corpus as plain JSONL, and runs over it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from backports import zstd

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run

DEMO = Path(__file__).parents[2] / "demo"
TARGET = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}

Select = Callable[..., dict[str, Any]]


def demo_records() -> list[dict[str, Any]]:
    """All records of the demo's raw corpus, in the order of its files."""
    records: list[dict[str, Any]] = []
    for path in sorted((DEMO / "raw").iterdir()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            records += pq.read_table(path).to_pylist()
            continue
        unpack = {".gz": gzip.decompress, ".zst": zstd.decompress}.get(path.suffix, bytes)
        records += [json.loads(line) for line in unpack(data).splitlines()]
    return records


def lines_of(output: str | Path) -> list[str]:
    """The records that a run has written as JSONL."""
    return [line for part in sorted(Path(output).glob("part-*.jsonl")) for line in part.read_text().splitlines()]


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's raw corpus as one plain JSONL file."""
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in demo_records()))
    return path


@pytest.fixture
def run_select(tmp_path: Path) -> Select:
    """`dsir select --inline` as a function: settings in, report.json out."""

    def run(**settings: Any) -> dict[str, Any]:
        values = {"output": str(tmp_path / "output"), "workdir": str(tmp_path / "workdir"), **settings}
        return select(Run(parse_config(values), InlineExecutor()))

    return run


ORDINARY = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z (note: |starting |compiling |\w+: (done, )?([\d,]+ of |[\d.]+ (s|min|h)\b))"
)
"""A note, what begins, or a stage's progress."""


def without_notes(stderr: str) -> list[str]:
    """What the command said on standard error beside its notes and its progress."""
    return [line for line in stderr.splitlines() if not ORDINARY.match(line)]
