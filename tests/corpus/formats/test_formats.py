"""Every format runs the same tests, and each has a few of its own beside them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from dsir_core.corpus.types import FileRange
from dsir_core.errors import DamagedFileError
from tests.corpus.files import PACK, UNPACK, read_all, source
from tests.corpus.formats.suite import FormatSuite, Row, rows_of

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("score", pa.float64()), ("lang", pa.string())])


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table, with columns though there be no rows."""
    return pa.Table.from_pylist(list(rows)) if rows else SCHEMA.empty_table()


class TestJsonLines(FormatSuite):
    suffix = ".jsonl"

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        path.write_bytes(PACK[path.suffix if path.suffix in PACK else ""](data))

    def read_back(self, path: Path) -> list[Row]:
        data = UNPACK[path.suffix if path.suffix in UNPACK else ""](path.read_bytes())
        return [json.loads(line) for line in data.splitlines()]

    def test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one(self, tmp_path: Path) -> None:
        """A plain file cut between lines cannot be told from a shorter one; within a line, the line is bad."""
        path = self.file(tmp_path, rows_of(100))
        whole = path.read_bytes()
        for n in range(1, len(whole), len(whole) // 60):
            path.write_bytes(whole[:n])
            is_cut = whole[n - 1 : n] != b"\n" and whole[n : n + 1] != b"\n"
            assert len(read_all(FileRange(source(path)))[1]) == is_cut


class TestPackedJsonLines(TestJsonLines):
    suffix = ".jsonl.zst"
    test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one = (
        FormatSuite.test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one
    )


class TestParquet(FormatSuite):
    suffix = ".parquet"

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        pq.write_table(table_of(rows), path, row_group_size=self.n_per_part, write_page_checksum=True)

    def read_back(self, path: Path) -> list[Row]:
        rows: list[Row] = pq.read_table(path).to_pylist()
        return rows


class TestArrowFile(FormatSuite):
    suffix = ".arrow"
    compression: str | None = None

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        options = pa.ipc.IpcWriteOptions(compression=self.compression)
        table = table_of(rows)
        with pa.ipc.new_file(path, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=self.n_per_part)

    def read_back(self, path: Path) -> list[Row]:
        rows: list[Row] = pa.ipc.open_file(path).read_all().to_pylist()
        return rows


class TestFeather(TestArrowFile):
    suffix = ".feather"

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        pyarrow.feather.write_feather(table_of(rows), path, compression="lz4", chunksize=self.n_per_part)


class TestArrowStream(TestArrowFile):
    compression = "zstd"

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        options = pa.ipc.IpcWriteOptions(compression=self.compression)
        table = table_of(rows)
        with pa.ipc.new_stream(path, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=self.n_per_part)


class TestCsv(FormatSuite):
    suffix = ".csv"
    nests = False
    delimiter = ","

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0] if rows else SCHEMA.names), delimiter=self.delimiter)
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(PACK[path.suffix if path.suffix in PACK else ""](text.getvalue().encode()))

    def read_back(self, path: Path) -> list[Row]:
        data = UNPACK[path.suffix if path.suffix in UNPACK else ""](path.read_bytes())
        rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=self.delimiter))
        assert sum(row["id"] == "id" for row in rows) == 0
        return [{**row, "score": float(row["score"])} for row in rows]

    def spoil(self, path: Path, rows: Sequence[Row], bad: Sequence[int]) -> None:
        """A text that is no UTF-8: CSV has no null."""
        self.write(path, [{**row, "text": "\ue000" if i in bad else row["text"]} for i, row in enumerate(rows)])
        suffix = path.suffix if path.suffix in PACK else ""
        data = UNPACK[suffix](path.read_bytes()).replace("\ue000".encode(), b"\xff")
        path.write_bytes(PACK[suffix](data))

    def test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one(self, tmp_path: Path) -> None:
        """A plain file cut between records or in its last field cannot be told from a shorter one."""
        path = self.file(tmp_path, [{"id": str(i), "text": f'"{i}"\nand more', "lang": "en"} for i in range(100)])
        whole = path.read_bytes()
        for n in range(20, len(whole), 7):
            path.write_bytes(whole[:n])
            last = whole[:n].rpartition(b"\r\n")[2]
            if last.count(b'"') % 2:
                with pytest.raises(DamagedFileError, match="inside a quoted field"):
                    read_all(FileRange(source(path)))
            else:
                is_bad = last not in (b"", b"\r") and last.count(b",") < 2
                assert len(read_all(FileRange(source(path)))[1]) == is_bad


class TestPackedCsv(TestCsv):
    suffix = ".csv.gz"
    test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one = (
        FormatSuite.test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one
    )


class TestTsv(TestCsv):
    suffix = ".tsv"
    delimiter = "\t"

    def test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tsv"
        path.write_text('id\ttext\n1\t"open', encoding="utf-8")
        with pytest.raises(DamagedFileError, match="inside a quoted field"):
            read_all(FileRange(source(path)))
