"""The benchmarks run, on tiny sizes, and say what they should; no figure is asserted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import kernels, runs
from benchmarks.corpora import KINDS
from benchmarks.run import line, sections
from tests.benchmarks.test_diverse import build_from_demo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_from_demo(tmp_path / "diverse")
    return tmp_path


@pytest.mark.long
def test_kernel_sections(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "REFERENCE_BYTES", 50_000)
    monkeypatch.setattr(kernels, "KINDS", {kind: KINDS[kind] for kind in ("English", "source code", "all")})
    sizes = folder, 200_000
    rows = [*kernels.against_reference(*sizes), *kernels.formats(*sizes), *kernels.kinds_of_text(*sizes)]
    assert len(rows) == 4 + 4 + 3
    assert all(value > 0 for row in rows for value in row.values() if isinstance(value, float))
    assert "MB/s" in line(rows[0])
    dials = list(kernels.dials(*sizes))
    assert [len(row) for row in dials] == [3, 3, 3, 2]
    assert all(value > 0 for row in dials for value in row.values() if isinstance(value, float))
    figures = list(kernels.corpus_figures(*sizes))
    assert [row["what"].split()[0] for row in figures] == ["natural:", "code:", "data:", "text", "sha256,", "sha256,"]
    hits = [row["hits, %"] for row in figures[4:]]
    assert 0 < hits[0] <= hits[1] < 100


def test_a_cache_has_what_came_last_to_each_slot() -> None:
    ones, others = 1 << 63, 1 << 63 | 1
    keys = np.array([5, ones, 5, ones, others, ones, 5], np.uint64)
    assert kernels._share_of_hits(keys, 1) == pytest.approx(3 / 6)


@pytest.mark.long
def test_reading_section(folder: Path) -> None:
    rows = list(runs.against_reading(folder, 400_000))
    assert {row["what"] for row in rows} == {
        f"{what} / {reader}" for what in ("count and score", "all stages") for reader in ("msgspec", "own reader")
    }


def test_every_section_has_a_title(tmp_path: Path) -> None:
    assert sorted(sections(tmp_path, 1.0)) == list("abcdefghijkl")
