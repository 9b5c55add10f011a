"""Records go through extracts into parts as they were, in order, and parts are cut by sizes alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from dsir_core.checkpoints.store import Store
from dsir_core.corpus.formats.registry import format_named
from dsir_core.shards import parts
from dsir_core.shards.parts import ExtractFile, ExtractWriter, PartTask, plan_parts, write_part

LINES = [f'{{"n": {i}, "text": "{"é" * (i % 7)}"}}'.encode() for i in range(50)]
READ: dict[str, Any] = {"none": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


def extracts(folder: Path, batches: list[Any]) -> list[ExtractFile]:
    with ExtractWriter(Store(str(folder)), "extract/a") as writer:
        for batch in batches:
            writer.add(format_named("jsonl" if isinstance(batch, list) else "parquet"), batch)
    return writer.files


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("limit", [1, 200, 10**6])
def test_lines_become_parts_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: Any, limit: int
) -> None:
    monkeypatch.setattr(parts, "EXTRACT_BYTES", limit)
    files = extracts(tmp_path, [LINES[i : i + 5] for i in range(0, 50, 5)])
    assert all(file.is_whole(Store(str(tmp_path))) for file in files)
    assert sum(file.documents for file in files) == 50
    ((name, group),) = plan_parts(files, compression)
    result = write_part(PartTask(str(tmp_path), str(tmp_path / "out"), name, compression, group))
    data = (tmp_path / "out" / name).read_bytes()
    assert READ[compression](data) == b"".join(line + b"\n" for line in LINES)
    assert (result.documents, result.n_bytes) == (50, len(data))


def test_rows_keep_their_columns_and_kinds_do_not_mix(tmp_path: Path) -> None:
    first = pa.table({"text": ["a", "b"], "n": [1, None]})
    second = pa.table({"text": ["c"], "tags": [["x", "y"]]})
    files = extracts(tmp_path, [first, first, second, LINES[:2]])
    assert [file.documents for file in files] == [4, 1, 2]
    planned = plan_parts(files, "none")
    assert [name for name, _ in planned] == ["part-00000.parquet", "part-00001.parquet", "part-00002.jsonl"]
    for name, group in planned:
        write_part(PartTask(str(tmp_path), str(tmp_path / "out"), name, "none", group))
    assert pq.read_table(tmp_path / "out" / "part-00000.parquet").equals(pa.concat_tables([first, first]))
    assert pq.read_table(tmp_path / "out" / "part-00001.parquet").equals(second)


def test_a_part_ends_with_the_extract_that_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 10)
    files = [ExtractFile(str(i), kind, 1, size, "") for i, (kind, size) in enumerate(
        [("jsonl", 4), ("jsonl", 6), ("jsonl", 99), ("jsonl", 1), ("parquet-a", 1), ("parquet-b", 1), ("jsonl", 1)]
    )]  # fmt: skip
    groups = [[file.name for file in group] for _, group in plan_parts(files, "zstd")]
    assert groups == [["0", "1"], ["2"], ["3"], ["4"], ["5"], ["6"]]


def test_an_extract_that_is_damaged_or_gone_is_not_whole(tmp_path: Path) -> None:
    (file,) = extracts(tmp_path, [LINES])
    path = tmp_path / file.name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert not file.is_whole(Store(str(tmp_path)))
    path.unlink()
    assert not file.is_whole(Store(str(tmp_path)))


def test_extracts_that_fail_leave_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with ExtractWriter(Store(str(tmp_path)), "extract/a") as writer:
            writer.add(format_named("jsonl"), LINES)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert Store(str(tmp_path)).names() == []
