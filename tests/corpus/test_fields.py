"""Other fields than the text: every type that a file can hold gives a value, and none ends a run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.fields import field_decoder, stratum_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange
from dsir_core.external.keys import key_strings
from dsir_core.external.scores import scores_of
from tests.corpus.files import source


@pytest.mark.parametrize("record", [r'{"a": "\ud800", "b": 1}', r'{"a": "x\udc00y", "b": 1}'])
def test_half_a_surrogate_pair_is_no_text(record: str) -> None:
    values = field_decoder(("a", "b"))(record.encode())
    assert values == [None, 1]
    assert stratum_of(values[0]) == ""
    assert key_strings(values)[1].tolist() == [False, True]


def values_in(path: Path, array: pa.Array) -> list[Any]:
    pq.write_table(pa.table({"text": ["t"] * len(array), "a": array}), path)
    (batch,) = list(read_range(FileRange(source(path)), ReadSettings(), fields=("a",)))
    return [values[0] for values in batch.fields]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string()])
def test_bytes_are_text_where_they_are_utf8(tmp_path: Path, kind: pa.DataType) -> None:
    good = pa.array(["é".encode(), None, b"x"], pa.binary() if kind == pa.string() else kind)
    bad = pa.array([b"\xff", None, b"x"], good.type)
    if kind == pa.string():
        good, bad = (pa.Array.from_buffers(kind, 3, array.buffers(), 1) for array in (good, bad))
    assert values_in(tmp_path / "good.parquet", good) == ["é", None, "x"]
    assert values_in(tmp_path / "bad.parquet", bad) == [None, None, "x"]


def test_decimals_are_scores() -> None:
    assert scores_of([Decimal("1.5"), Decimal("NaN")]).scores.tolist()[0] == 1.5
    assert scores_of([Decimal("1.5"), Decimal("NaN")]).status.tolist() == [0, 1]
