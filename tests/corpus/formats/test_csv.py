"""CSV: records as the standard library reads them, however a file is read and packed; what is bad is named."""

from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats import csv as csv_format
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import BadRecord, FileRange
from dsir_core.errors import DamagedFileError, RequestError
from tests.corpus.files import PACK, SETTINGS, positions, read_all, source

FIELDS = st.text(st.sampled_from('ab,"\n\r \u6f22'), max_size=8)


def bad_of(path: Path, settings: ReadSettings = SETTINGS) -> list[BadRecord]:
    """Bad records of a file."""
    return [record for batch in read_range(FileRange(source(path)), settings) for record in batch.bad]


@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), max_size=8), chunk=st.integers(1, 20), end=st.sampled_from(["\n", "\r\n"])
)
def test_what_a_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], chunk: int, end: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=end).writerows([("id", "text"), *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_format, "CHUNK_BYTES", chunk + 3)
        assert read_all(FileRange(source(path))) == ([(i, text) for i, (_, text) in enumerate(rows)], [])


@given(data=st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r\n", b"\xff"]), max_size=25).map(b"".join))
def test_any_bytes_give_as_many_records_however_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(b"id,text\n" + data)

    def found(chunk: int) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_format, "CHUNK_BYTES", chunk)
            try:
                return read_all(FileRange(source(path)))
            except DamagedFileError as error:
                return str(error)

    assert found(4) == found(2**20)


def test_bad_records_say_why(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,a\n2\n3,b,c\n"4"x,d\n5,\xff\n6,5" disk\n')
    assert [(bad.position, bad.reason) for bad in bad_of(path)] == [
        (1, "wrong number of fields: 1, the header has 2"),
        (2, "wrong number of fields: 3, the header has 2"),
        (3, "invalid CSV: ',' expected after '\"'"),
        (4, "invalid UTF-8: in text"),
    ]
    assert read_all(FileRange(source(path)))[0] == [(0, "a"), (5, '5" disk')]


def test_blank_lines_are_no_records_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,id\r\n\r\na,1\r\n\nb,2")
    assert read_all(FileRange(source(path))) == ([(0, "a"), (1, "b")], [])


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_records_are_written_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    data = b'"id",text\r\n1,"a\nb"\r\n"2",""\n3,c'
    path.write_bytes(PACK[suffix](data))
    file = source(path)
    extract, part = io.BytesIO(), io.BytesIO()
    batches = list(read_range(FileRange(file), SETTINGS, keep_records=True))
    with format_of(file).extract_writer(extract, batches[0].records) as writer:
        for batch in batches:
            writer.write(batch.records)
    extract.seek(0)
    format_of(file).gather([extract], part, "none")
    assert part.getvalue() == data + b"\n"


def test_a_record_over_the_limit_is_bad_and_never_held(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b'id,text\n1,a\n2,"')
        for _ in range(200):
            file.write(b"line, \n" * 75_000)
        file.write(b'"\n3,b\n')
    settings = ReadSettings(max_record_bytes=2**20)
    tracemalloc.start()
    try:
        assert read_all(FileRange(source(path)), settings=settings) == ([(0, "a"), (2, "b")], [1])
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_header_is_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DamagedFileError, match="no header"):
        read_all(FileRange(source(tmp_path / "a.csv")))


@pytest.mark.parametrize(
    ("header", "words"), [(b"id,txt", "no column 'text'; is it 'txt'"), (b"text,text", "occurs 2 times")]
)
def test_a_wrong_column_is_a_wrong_request(tmp_path: Path, header: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(header + b"\na,b\n")
    with pytest.raises(RequestError, match=words):
        read_all(FileRange(source(tmp_path / "a.csv")))


def test_conditions_see_numbers_and_nulls(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,n\na,2\nb,10\nc,\nd,007\ne,1e1\n")
    for include, texts in (("n > 3", "be"), ("n == null", "c"), ('n == "007"', "d"), ("n == 2", "a")):
        documents, _ = read_all(FileRange(source(path)), settings=ReadSettings(include=include))
        assert "".join(text for _, text in documents) == texts


def test_rows_of_blocks_and_positions(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\n" + b"".join(b"%d\n" % i for i in range(2000)))
    file = source(path)
    assert read_all(FileRange(file), positions=positions(3, 1999))[0] == [(3, "3"), (1999, "1999")]
    kept, _ = read_all(FileRange(file), keep_block=lambda blocks: np.equal(blocks, 1))
    assert [position for position, _ in kept] == list(range(512, 1024))
