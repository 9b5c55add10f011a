"""A corpus of several files to which one more comes, and what runs over it reuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.conftest import DEMO, TARGET

OTHER = {"code": str(DEMO / "targets" / "go_code.jsonl")}
N_FILES = 10
N_DOCUMENTS = 600


def files_of(pool: Path, parent: Path) -> Path:
    lines = pool.read_bytes().splitlines(keepends=True)[:N_DOCUMENTS]
    folder = parent / "raw"
    folder.mkdir()
    for i in range(N_FILES):
        (folder / f"{i:03}.jsonl").write_bytes(b"".join(lines[i::N_FILES]))
    (folder / f"{N_FILES - 1:03}.jsonl").rename(parent / "new.jsonl")
    return folder


def add_file(raw: Path) -> None:
    (raw.parent / "new.jsonl").rename(raw / f"{N_FILES - 1:03}.jsonl")


def reused(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {name: (stage["reused"], stage["shards"]) for name, stage in report["stages"].items()}


def settings(raw: Path, **more: Any) -> dict[str, Any]:
    size = max(path.stat().st_size for path in raw.iterdir())
    return {"raw": str(raw), "target": TARGET, "count": 70, "shard_bytes": size, "overwrite": True, **more}
