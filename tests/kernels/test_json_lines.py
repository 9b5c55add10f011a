"""The compiled decoder takes a line only when `json.loads` gives the same text, and takes ordinary lines itself."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.json_lines import BLANK, LEFT, TAKEN, take_texts
from dsir_core.kernels.json_values import BLOCK, MAX_DEPTH

KEY = "text"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.text(max_size=6).filter(lambda name: name != KEY)
RECORDS = st.tuples(st.dictionaries(NAMES, VALUES, max_size=3), st.text(max_size=300), st.integers(0, 3))
PLAIN_NAMES = st.text("abcde_-.", max_size=6)
ORDINARY = st.tuples(st.dictionaries(PLAIN_NAMES, VALUES, max_size=3), st.text(max_size=300), st.integers(0, 3))
BYTES_OF_JSON = b'{}[]",:\\u0dD8eE+-.1 tfn\r/\x00\xc3'


def as_line(record: tuple[dict[str, Any], str, int], escape: bool) -> bytes:
    others, text, place = record
    items = list(others.items())
    items.insert(min(place, len(items)), (KEY, text))
    return json.dumps(dict(items), ensure_ascii=escape).encode(errors="replace")


def take(*lines: bytes, limit: int = 2**20) -> list[tuple[int, str]]:
    """Status and text of each line."""
    data = np.frombuffer(b"\n".join(lines), np.uint8)
    ends = np.cumsum([len(line) + 1 for line in lines]) - 1
    starts = np.array([0, *(ends[:-1] + 1)], np.int64)
    text, offsets = np.empty(len(data) + BLOCK, np.uint8), np.empty(len(lines) + 1, np.int64)
    status = np.empty(len(lines), np.uint8)
    key = np.frombuffer(KEY.encode(), np.uint8)
    take_texts(data, read_only(starts, np.int64), read_only(ends, np.int64), key, limit, text, offsets, status)
    texts = [bytes(text[a:b]).decode() for a, b in pairwise(offsets)]
    return list(zip(status.tolist(), texts, strict=True))


@given(st.lists(st.tuples(ORDINARY, st.booleans()), min_size=1, max_size=6))
def test_ordinary_records_are_taken(records: list[tuple[Any, bool]]) -> None:
    lines = [as_line(record, escape) for record, escape in records]
    for line, (status, text) in zip(lines, take(*lines), strict=True):
        assert (status, text) == (TAKEN, json.loads(line)[KEY])


@given(
    RECORDS,
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(BYTES_OF_JSON), st.integers(0, 2)), max_size=4),
    st.binary(max_size=70).filter(lambda tail: b"\n" not in tail and tail.isascii()),
)
def test_whatever_is_taken_is_what_the_standard_library_reads(
    record: Any, escape: bool, edits: list[tuple[int, int, int]], tail: bytes
) -> None:
    line = bytearray(as_line(record, escape))
    for place, byte, removed in edits:
        at = place % (len(line) + 1)
        line[at : at + removed] = bytes([byte])
    try:
        line.decode()
    except UnicodeDecodeError:
        return  # the caller gives valid UTF-8 only
    for status, text in (take(bytes(line), tail)[0], take(bytes(line))[0]):
        if status == TAKEN:
            assert json.loads(line)[KEY] == text
        else:
            assert text == ""
            assert status == LEFT or not line.strip()


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "a", "text": "b"}', b'{"te\\u0078t": "a"}', b'{"x\\n": 1, "text": "a"}', b'{"text": "\\ud800"}',
        b'{"text": "\\udc00\\ud800"}', b'{"text": "\\ud800\\u0041"}', b'{"text": "a", "x": NaN}', b'{"text": null}',
        b'{"text": "a", "x": 01}', b'{"text": "a", "x": 1.}', b'{"text": "a", "x": -}', b'{"text": "a", "x": 1e}',
        b'{"text": "a",}', b'{"text": "a"} {', b'{"text": "a", "x": [1,]}', b'{"text": "a", "x": {"y"}}', b"{}", b"[]",
        b'{"text": "a", "x": [}]}', b'{"text": "a\tb"}', b'{"text": "\\x"}', b'{"text": "a', b'{"text": "\\u12',
        b'{"text": "a", "x": tru}', b'{"text": "a" "x": 1}', b'{"text" "a"}', b'\x0b', b'{"text": "a", "x": "\x01"}',
        b'{"text": "a", "x": ' + b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2) + b"}",
    ],
)  # fmt: skip
def test_every_doubt_is_left_to_the_slow_decoder(line: bytes) -> None:
    assert take(line) == [(LEFT, "")]
    assert take(line, b'{"text": "after it"}') == [(LEFT, ""), (TAKEN, "after it")]


def test_blank_lines_long_lines_and_nesting_up_to_the_limit() -> None:
    deep = b'{"text": "a", "x": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    assert take(b"", b" \t\r", deep) == [(BLANK, ""), (BLANK, ""), (TAKEN, "a")]
    assert take(deep, limit=len(deep) - 1) == [(LEFT, "")]


@pytest.mark.parametrize("n", [0, 1, 62, 63, 64, 65, 127, 128, 129])
def test_ends_and_escapes_at_every_place_of_a_block(n: int) -> None:
    for text in ("x" * n, "x" * n + '"', "\n" * n, "x" * n + "\U0001f600\u00e9", "\\" * n):
        for escape in (True, False):
            line = json.dumps({"text": text}, ensure_ascii=escape).encode()
            assert take(line) == [(TAKEN, text)]
            assert take(line, line, b" ") == [(TAKEN, text), (TAKEN, text), (BLANK, "")]
