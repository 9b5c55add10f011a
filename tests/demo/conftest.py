"""The shipped demo corpus, read without the project's own readers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from backports import zstd

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"


@pytest.fixture(scope="session")
def pool() -> list[dict[str, str]]:
    raw = DEMO / "raw"
    lines = (raw / "pool-1.jsonl").read_bytes()
    lines += gzip.decompress((raw / "pool-2.jsonl.gz").read_bytes())
    lines += zstd.decompress((raw / "pool-3.jsonl.zst").read_bytes())
    rows = [json.loads(line) for line in lines.splitlines()]
    return rows + pq.read_table(raw / "pool-4.parquet").to_pylist()


@pytest.fixture(scope="session")
def labels() -> dict[str, Any]:
    return json.loads((DEMO / "labels.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def targets() -> dict[str, list[str]]:
    files = sorted((DEMO / "targets").glob("*.jsonl"))
    return {file.stem: [json.loads(line)["text"] for line in file.open(encoding="utf-8")] for file in files}


@pytest.fixture(scope="session")
def promised() -> dict[str, tuple[int, int]]:
    """Documents in pool and in target of each kind, as the table of SOURCES.md says."""
    page = (DEMO / "SOURCES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+|-) \| .+ \| .+ \|$", page, flags=re.MULTILINE)
    return {kind: (int(in_pool), int(in_target.replace("-", "0"))) for kind, in_pool, in_target in rows}


@pytest.fixture
def scripts() -> Path:
    """The folder of scripts."""
    return ROOT / "scripts"
