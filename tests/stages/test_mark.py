"""Copies are looked for in parts of all hashes: memory does not grow with the number of documents."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dsir_core.checkpoints.kinds import HASHES
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.resampling import copies
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.mark import match, total
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork

SHARD, PARTITION = 20_000, 40_000


def peak_bytes(folder: Path, n_shards: int) -> int:
    """Of comparing the documents of some shards; in each every tenth stands in all others, too."""
    config = parse_config(
        {"raw": "r", "target": {"t": "t"}, "count": 1, "output": str(folder / "o"), "workdir": str(folder / "w")}
    )
    store, indexes = Store(config.workdir_url), []
    for i in range(n_shards):
        hashes = np.random.default_rng(i + 1).integers(0, 2**64, (SHARD, 2), dtype=np.uint64)
        hashes[::10] = np.random.default_rng(0).integers(0, 2**64, (SHARD // 10, 2), dtype=np.uint64)
        with store.checkpoint(HASHES.folder, f"{i:x}", HASHES.suffix, {}) as draft:
            draft.stream.write(copies.index_bytes(hashes, np.arange(SHARD)))
        indexes.append(f"{HASHES.name(f'{i:x}')}{HASHES.suffix}")
    work = StageWork(Run(config, InlineExecutor()), "mark", reads_source=False)
    tracemalloc.start()
    try:
        found = match(work, indexes, [], n_shards * SHARD)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total(found) == copies.CopyCounts(n_shards * SHARD, (n_shards - 1) * SHARD // 10, n_shards, 0)
    return peak


def test_ten_times_the_documents_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PARTITION_DOCUMENTS", PARTITION)
    peak_bytes(tmp_path / "first", 2)  # what is imported and compiled once
    few, many = peak_bytes(tmp_path / "few", 2), peak_bytes(tmp_path / "many", 20)
    assert many < 1.5 * few
