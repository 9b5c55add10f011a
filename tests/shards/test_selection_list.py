"""`selected.parquet` holds the rows of all shards in order, and its digest is that of their places."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.shards import selection_list
from dsir_core.shards.select import selection_schema
from dsir_core.shards.selection_list import NAME, SelectedTask, write_selected


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("sizes", [(), (0,), (3, 0, 4), (1,) * 9])
def test_rows_and_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], offset: bool) -> None:
    monkeypatch.setattr(selection_list, "READ_ROWS", 2)
    schema = selection_schema(offset=offset, stratum=False)
    rows: list[dict[str, object]] = []
    for shard, size in enumerate(sizes):
        mine = [
            {
                "file": f"dir {shard}/é.jsonl",
                "position": 10 * i,
                "offset": i,
                "n_tokens": i,
                "log_weight": 0.5,
                "key": 1.5,
                "target": "t",
            }
            for i in range(size)
        ]
        mine = [{name: row[name] for name in schema.names} for row in mine]
        pq.write_table(pa.Table.from_pylist(mine, schema=schema), tmp_path / f"{shard}.parquet")
        rows += mine
    task = SelectedTask(str(tmp_path), str(tmp_path / "out"), tuple(f"{i}.parquet" for i in range(len(sizes))), schema)
    result = write_selected(task)
    assert pq.read_table(tmp_path / "out" / NAME).to_pylist() == rows
    places = [[row[name] for name in ("file", "position", *(["offset"] if offset else []))] for row in rows]
    expected = "".join("\0".join(map(str, place)) + "\n" for place in places)
    assert (result.documents, result.selection_digest) == (len(rows), hashlib.sha256(expected.encode()).hexdigest())
