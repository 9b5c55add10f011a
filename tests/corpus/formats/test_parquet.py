"""Parquet: rows by row groups, text of every kind, and what is no text named."""

from __future__ import annotations

import datetime
import io
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import BLOCK_ROWS, FileRange
from dsir_core.errors import RequestError
from tests.corpus.files import SETTINGS, positions, read_all, source, write_parquet

TEXTS = [f"text {i} \u6f22" for i in range(1050)]
KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_text_of_every_kind(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(TEXTS).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(TEXTS).cast(kind)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), path, row_group_size=100)
    assert read_all(FileRange(source(path))) == (list(enumerate(TEXTS)), [])


@given(cuts=st.sets(st.integers(1, 10), max_size=4))
def test_any_cut_by_row_groups(tmp_path_factory: pytest.TempPathFactory, cuts: set[int]) -> None:
    file = source(write_parquet(tmp_path_factory.mktemp("p") / "a.parquet", TEXTS))
    edges = [0, *sorted(cuts), 11]
    pieces = [FileRange(file, a, b) for a, b in itertools.pairwise(edges)]
    assert read_all(*pieces)[0] == list(enumerate(TEXTS))


def test_chosen_rows_come_with_all_their_columns(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    chosen = positions(0, 99, 100, 731, 1049)
    batches = list(read_range(FileRange(source(path)), SETTINGS, keep_records=True, positions=chosen))
    rows = pa.concat_tables([batch.records for batch in batches]).to_pylist()
    assert rows == [{"text": TEXTS[i], "n": i} for i in chosen]
    assert np.concatenate([batch.positions for batch in batches]).tolist() == chosen.tolist()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("keep_records", [False, True])
def test_nulls_and_chosen_rows_of_every_kind(tmp_path: Path, kind: pa.DataType, keep_records: bool) -> None:
    texts = ["a", None, "b", "c", None, "d"]
    column = pa.array(texts).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(texts).cast(kind)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": range(6), "text": column}), path)
    file = source(path)
    assert read_all(FileRange(file), keep_records=keep_records) == ([(0, "a"), (2, "b"), (3, "c"), (5, "d")], [1, 4])
    chosen = read_all(FileRange(file), keep_records=keep_records, positions=positions(2, 5))
    assert chosen == ([(2, "b"), (5, "d")], [])


def test_kept_blocks(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    documents, _ = read_all(FileRange(source(path)), keep_block=lambda blocks: blocks == 1)
    assert documents == list(enumerate(TEXTS))[BLOCK_ROWS : 2 * BLOCK_ROWS]


def test_nulls_and_invalid_utf8_are_bad_rows(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [b"a", None, b"\xff", b"", b"b"], pa.binary(), rows=3)
    documents, bad = read_all(FileRange(source(path)))
    assert documents == [(0, "a"), (3, ""), (4, "b")]
    assert bad == [1, 2]
    reasons = [record.reason for batch in read_range(FileRange(source(path)), SETTINGS) for record in batch.bad]
    assert reasons == ["text is null", "invalid UTF-8: in text"]


def test_text_over_the_size_limit_is_a_bad_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["a", "\u6f22" * 4, None, "x" * 10, "x" * 11])
    settings = ReadSettings(max_record_bytes=10)
    assert read_all(FileRange(source(path)), settings=settings) == ([(0, "a"), (3, "x" * 10)], [1, 2, 4])


def test_nested_and_joined_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"meta": {"body": "b", "n": 1}, "title": "T"}, {"meta": None, "title": "U"}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    settings = ReadSettings(text_field=("title", "meta.body"))
    assert read_all(FileRange(source(path)), settings=settings) == ([(0, "T\nb")], [1])


@pytest.mark.parametrize(
    ("field", "words"),
    [("txt", "is it 'text'"), ("n", "is int64, not text"), ("text.body", "no column 'text.body'")],
)
def test_a_missing_column_is_a_wrong_request_with_the_nearest_name(tmp_path: Path, field: str, words: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    with pytest.raises(RequestError, match=words):
        read_all(FileRange(source(path)), settings=ReadSettings(text_field=(field,)))


def test_an_empty_table(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [])
    assert read_all(FileRange(source(path))) == ([], [])


def test_a_text_over_the_limit_is_bad(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["a", "x" * 2000, "b"])
    documents, bad = read_all(FileRange(source(path)), settings=ReadSettings(max_record_bytes=1000))
    assert ([text for _, text in documents], bad) == (["a", "b"], [1])


def test_a_column_that_occurs_twice_is_a_wrong_request(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    with pytest.raises(RequestError, match="occurs 2 times"):
        read_all(FileRange(source(path)))


def test_old_timestamps_outside_of_the_years_of_nanoseconds_are_preserved(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    times = [datetime.datetime(year, 1, 2, 3, 4, 5) for year in (1, 1600, 2026, 9999)]
    table = pa.table({"text": ["a", "b", "c", "d"], "time": pa.array(times, pa.timestamp("us"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    file = source(path)
    (batch,) = read_range(FileRange(file), SETTINGS, keep_records=True)
    assert batch.records["time"].to_pylist() == times
    part = io.BytesIO()
    with format_of(file).extract_writer(part, batch.records) as writer:
        writer.write(batch.records)
    assert pq.read_table(part)["time"].to_pylist() == times
