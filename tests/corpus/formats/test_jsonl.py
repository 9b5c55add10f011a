"""JSON lines are read as `json.loads` reads them, however a file is cut and packed; what is bad is named."""

from __future__ import annotations

import io
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats import line_blocks
from dsir_core.corpus.formats.line_blocks import read_line_blocks
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import BLOCK_BYTES, WHOLE, FileRange
from dsir_core.errors import DamagedFileError
from tests.corpus.files import PACK, SETTINGS, lines, oracle, positions, read_all, source

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.one_of(
    st.fixed_dictionaries({"text": st.text(max_size=40)}, optional={"id": VALUES, "\u6f22": VALUES}),
    st.dictionaries(st.sampled_from(["text", "id", "x"]), VALUES, max_size=3),
    VALUES,
)
LINES = st.one_of(
    RECORDS.map(lambda record: json.dumps(record).encode()),
    st.tuples(RECORDS, st.booleans()).map(lambda r: json.dumps(r[0], ensure_ascii=r[1]).encode(errors="replace")),
    st.sampled_from(
        [
            b"", b" ", b"\t\r", b"{", b'{"text": "a"} x', b'{"text": "a"}{"text": "b"}', b'{"text": "\\ud800"}',
            b'{"text": "\xff"}', b'{"text": "a", "x": "\xff"}', b'{"text": "a", "x": NaN}', b'{"te\\u0078t": "a"}',
            b'{"text": "a", "text": "b"}', b'{"text": "a", "text": 1}', b'{"text": "\\ud83d\\ude00"}', b'\x00',
            b'{"text": "a", "x": 01}', b'  {"text": "a"}  ', b'{"text": "tab\there"}', b'[{"text": "a"}]', b'"text"',
        ]
    ),
)  # fmt: skip
FILES = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n"])), max_size=12),
    LINES,
).map(lambda t: t[0] + b"".join(line + end for line, end in t[1]) + t[2])


@given(data=FILES, cuts=st.lists(st.integers(0, 600), max_size=4), chunk=st.integers(1, 50))
def test_any_cut_and_any_chunk_give_what_the_whole_file_holds(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_bytes(data)
    file = source(path)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [FileRange(file, a, b) for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "CHUNK_BYTES", chunk)
        assert read_all(FileRange(file)) == oracle(data)
        assert read_all(*pieces) == oracle(data)


@pytest.mark.parametrize("suffix", PACK)
def test_every_compression_gives_the_same_documents_and_records(tmp_path: Path, suffix: str) -> None:
    data = lines(f"text {i} \u6f22" for i in range(1000))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](data))
    assert read_all(FileRange(source(path))) == oracle(data)
    batches = list(read_range(FileRange(source(path)), SETTINGS, keep_records=True))
    assert b"".join(record + b"\n" for batch in batches for record in batch.records) == data


@pytest.mark.parametrize("suffix", ["", ".gz"])
@given(chosen=st.sets(st.integers(0, 299), max_size=20))
def test_chosen_positions_give_these_documents_alone(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, chosen: set[int]
) -> None:
    data = lines("x" * (i * 37 % 5000) for i in range(300))
    path = tmp_path_factory.mktemp("jsonl") / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](data))
    expected = [oracle(data)[0][i] for i in sorted(chosen)]
    wanted = positions(*(position for position, _ in expected))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsir_core.corpus.formats.jsonl.GAP_BYTES", 1000)
        assert read_all(FileRange(source(path)), positions=wanted)[0] == expected


def test_a_chosen_position_that_is_not_there_is_a_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(["a", "b"]))
    with pytest.raises(DamagedFileError, match="changed"):
        read_all(FileRange(source(path)), positions=positions(5))


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_kept_blocks_give_the_records_that_begin_in_them(tmp_path: Path, suffix: str) -> None:
    data = lines("x" * 50_000 for _ in range(60))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](data))
    file = source(path)
    expected = [document for document in oracle(data)[0] if document[0] // BLOCK_BYTES in (0, 3, 4, 7)]
    stop = len(data) if not suffix else WHOLE
    pieces = (
        [FileRange(file, 0, stop)]
        if suffix
        else [FileRange(file, a, b) for a, b in pairwise([0, 10**6, 10**6 + 7, stop])]
    )
    kept = read_all(*pieces, keep_block=lambda blocks: np.isin(blocks, [0, 3, 4, 7]))
    assert kept[0] == expected


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_of_nothing_but_a_byte_order_mark_has_no_records(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](b"\xef\xbb\xbf"))
    assert read_all(FileRange(source(path)), keep_block=lambda blocks: np.ones(len(blocks), bool)) == ([], [])


@pytest.mark.parametrize("fields", [(), ("a", "a.b"), ("a.b", "a"), ("a.b.c", "x", "a")])
def test_text_fields_that_cannot_all_be_text_are_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        ReadSettings(text_field=fields)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "invalid JSON: "),
        (b'{"text": "\xff"}', "invalid UTF-8: "),
        (b'{"text": "a", "x": "\xff"}', "invalid UTF-8: "),
        (b'{"x": 1}', "text is missing"),
        (b'{"text": null}', "text is null"),
        (b'{"text": 5}', "text is a number, not a string"),
        (b'{"text": true}', "text is a boolean, not a string"),
        (b'{"text": ["secret"]}', "text is a list, not a string"),
        (b'"secret"', "not an object"),
        (b'{"text": "\\ud800"}', "text holds half of a surrogate pair"),
        (b'{"text": ' + b"[" * 100_000, "invalid JSON: RecursionError"),
    ],
)
def test_reasons_are_said_without_the_content(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b'\n{"text": "good"}\n')
    batches = list(read_range(FileRange(source(path)), SETTINGS))
    (bad,) = [record for batch in batches for record in batch.bad]
    assert bad.reason.startswith(reason)
    assert (bad.path, bad.position) == ("a.jsonl", 17)
    assert "secret" not in bad.reason
    assert sum(map(len, batches)) == 2


@pytest.mark.parametrize(
    ("fields", "record", "text"),
    [
        (("meta.body",), {"meta": {"body": "b"}, "text": 1}, "b"),
        (("title", "text"), {"text": "t", "title": "T"}, "T\nt"),
        (("a.b", "a.c"), {"a": {"c": "C", "b": "B"}}, "B\nC"),
        (("not an identifier!",), {"not an identifier!": "x"}, "x"),
    ],
)
def test_text_fields_by_path_and_joined(tmp_path: Path, fields: tuple[str, ...], record: Any, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n{}\n")
    documents, bad = read_all(FileRange(source(path)), settings=ReadSettings(text_field=fields))
    assert [found for _, found in documents] == [text]
    assert len(bad) == 1


@pytest.mark.parametrize("limit", [1000, 20 * 2**20])
def test_a_record_over_the_limit_is_bad_and_never_held(tmp_path: Path, limit: int) -> None:
    large = b'{"text": "' + b"x" * 60 * 2**20 + b'"}\n'
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + large + b'{"text": "b"}\n')
    tracemalloc.start()
    documents, bad = read_all(FileRange(source(path)), settings=ReadSettings(max_record_bytes=limit))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [text for _, text in documents] == ["a", "b"]
    assert bad == [14]
    assert peak < 2 * limit + 32 * 2**20


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_a_first_record_over_the_limit_stands_behind_the_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(line_blocks, "CHUNK_BYTES", chunk)
    path = tmp_path / "a.jsonl"
    record = b'{"text": "' + b"x" * 50 + b'"}'
    path.write_bytes(b"\xef\xbb\xbf" + record + b'\n{"text": "b"}\n')
    file = source(path)
    assert read_all(FileRange(file), settings=ReadSettings(max_record_bytes=len(record)))[1] == []
    for limit in (len(record) - 1, len(record) - 4, 20):
        documents, bad = read_all(FileRange(file), settings=ReadSettings(max_record_bytes=limit))
        assert ([text for _, text in documents], bad) == (["b"], [3])


def test_an_integer_of_many_digits_is_no_fault_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    digits = b"1" * 5000
    path.write_bytes(b'{"text": "a", "x": %b}\n{"text": "b", "x": %b, "y": NaN}\n' % (digits, digits))
    documents, bad = read_all(FileRange(source(path)))
    assert ([text for _, text in documents], bad) == (["a", "b"], [])


def test_one_large_record_costs_its_size_and_not_that_of_the_file(tmp_path: Path) -> None:
    size = 30 * 2**20
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        for _ in range(6):
            file.write(b'{"text": "' + b"x" * size + b'"}\n')
    tracemalloc.start()
    n = sum(len(batch) for batch in read_range(FileRange(source(path)), SETTINGS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 6
    assert peak < 5 * size


@pytest.mark.parametrize(("size", "most"), [(100, 1), (10**5, 4), (10**7, 18)])
def test_a_chosen_record_costs_few_reads(size: int, most: int) -> None:
    """Each is a request on an object store."""
    line = b"x" * size + b"\n"
    stream = io.BytesIO(line * 3)
    reads: list[int] = []

    class Counted:
        def read(self, n: int) -> bytes:
            reads.append(n)
            return stream.read(n)

        def seek(self, position: int) -> int:
            return stream.seek(position)

    start = len(line)
    (chunk,) = read_line_blocks(Counted(), start, start + 1, 10**8, exact=True)
    assert (chunk.position, chunk.data) == (start, line)
    assert len(reads) <= most
    assert sum(reads) <= 2 * size + 2 * line_blocks.LAST_LINE_BYTES


def test_a_piece_inside_a_large_record_has_no_document(tmp_path: Path) -> None:
    data = lines(["x" * 10_000, "y"])
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    file = source(path)
    assert read_all(FileRange(file, 100, 5000)) == ([], [])
    assert read_all(FileRange(file, 5000, len(data)))[0] == [oracle(data)[0][1]]


def test_chunks_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("x" * 1000 for _ in range(20_000)))
    with path.open("rb") as stream:
        sizes = [len(chunk.data) for chunk in read_line_blocks(stream, 0, WHOLE, 2**28)]
    assert sum(sizes) == path.stat().st_size
    assert max(sizes) <= 2 * line_blocks.CHUNK_BYTES


def test_a_file_of_nothing_but_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf")
    assert read_all(FileRange(source(path)), keep_block=lambda blocks: np.ones(len(blocks), bool)) == ([], [])


@pytest.mark.parametrize("fields", [(), ("",), ("a", "a.b"), ("a", "a"), ("a..b",)])
def test_text_fields_that_make_no_sense_are_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="field"):
        ReadSettings(text_field=fields)


def test_one_text_field_needs_no_list() -> None:
    assert ReadSettings.model_validate({"text_field": "body"}).text_field == ("body",)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_line_ends_of_two_characters_are_kept_and_a_missing_one_is_added(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    data = b'{"text": "a"}\r\n{"text": "b"}\n{"text": "c"}'
    path.write_bytes(PACK[suffix](data))
    file = source(path)
    extract, part = io.BytesIO(), io.BytesIO()
    with format_of(file).extract_writer(extract, []) as writer:
        for batch in read_range(FileRange(file), SETTINGS, keep_records=True):
            writer.write(batch.records)
    extract.seek(0)
    format_of(file).gather([extract], part, "none")
    assert part.getvalue() == data + b"\n"
