"""The benchmarks run, on tiny sizes, and say what they should; no figure is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import kernels, runs
from benchmarks.run import line, sections


@pytest.mark.long
def test_kernel_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "REFERENCE_BYTES", 50_000)
    rows = [*kernels.against_reference(200_000), *kernels.formats(tmp_path, 200_000), *kernels.kinds_of_text(100_000)]
    assert len(rows) == 4 + 4 + 5
    assert all(value > 0 for row in rows for value in row.values() if isinstance(value, float))
    assert "MB/s" in line(rows[0])
    dials = list(kernels.dials(tmp_path, 100_000))
    assert [len(row) for row in dials] == [3, 3, 3, 3, 3, 2]
    assert all(value > 0 for row in dials for value in row.values() if isinstance(value, float))


@pytest.mark.long
def test_reading_section(tmp_path: Path) -> None:
    rows = list(runs.against_reading(tmp_path, 400_000))
    assert {row["what"] for row in rows} == {
        f"{what} / {reader}" for what in ("count and score", "all stages") for reader in ("msgspec", "own reader")
    }


def test_every_section_has_a_title(tmp_path: Path) -> None:
    assert sorted(sections(tmp_path, 1.0)) == list("abcdefghijk")
