"""Row groups are passed over only where no row can meet the conditions, and then without reading them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats import parquet
from dsir_core.corpus.formats.columns import values_of
from dsir_core.corpus.formats.parquet_pruning import may_hold
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange
from tests.corpus.files import source

STRINGS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é", "\U0001f600", "zz"]))
NUMBERS = st.one_of(st.none(), st.integers(-3, 3))
FLOATS = st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 1.5, -2.5, math.nan, math.inf]))
LITERALS = ['"a"', '"é"', '""', "0", "1", "-2", "1.5", "0.0", "true", "null"]
FIELDS = ["s", "i", "f", "m.x", "d"]


def leaf() -> st.SearchStrategy[str]:
    field, literal = st.sampled_from(FIELDS), st.sampled_from(LITERALS)
    order = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    many = st.lists(literal, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    return st.one_of(
        st.builds("{} {} {}".format, field, order, literal),
        st.builds("{} {} {}".format, literal, order, field),
        st.builds("{} {} {}".format, field, order, field),
        st.builds("{} {} {} {} {}".format, literal, order, field, order, literal),
        st.builds("{} {} {}".format, field, st.sampled_from(["in", "not in"]), many),
        st.builds("{} in {}".format, literal, field),
        field,
    )


def conditions() -> st.SearchStrategy[str]:
    return st.recursive(
        leaf(),
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("(not {})".format, inner),
        ),
        max_leaves=5,
    )


def written(rows: list[tuple[Any, ...]], path: Path) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "s": pa.array(columns[0], pa.string()),
            "i": pa.array(columns[1], pa.int8()),
            "f": pa.array(columns[2], pa.float32()),
            "m": pa.array([{"x": value} for value in columns[1]], pa.struct([("x", pa.int64())])),
            "d": pa.array(columns[0], pa.string()).dictionary_encode(),
        }
    )
    pq.write_table(table, path, row_group_size=3)
    return table


@given(
    rows=st.lists(st.tuples(STRINGS, NUMBERS, FLOATS), min_size=1, max_size=9),
    include=st.one_of(st.none(), conditions()),
    exclude=st.one_of(st.none(), conditions()),
)
def test_no_group_is_passed_over_that_holds_a_wanted_row(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, include: str | None, exclude: str | None
) -> None:
    path = tmp_path_factory.mktemp("pruning") / "f.parquet"
    table = written(rows, path)
    condition = Condition.of(include, exclude)
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        part = table.slice(3 * group, 3)
        wanted = condition is None or any(
            condition.holds(values)
            for values in zip(*(values_of(part, name) for name in condition.fields), strict=True)
        )
        assert may_hold(include, exclude, metadata.row_group(group)) or not wanted


@pytest.mark.parametrize(
    ("include", "exclude", "groups"),
    [
        ('lang == "de"', None, [0]),
        ('"de" == lang', None, [0]),
        ('lang in ["fr", "xx"]', None, [2]),
        ("n > 5", None, [2]),
        ("2 < n and n <= 5", None, [1]),
        ("meta.n >= 6 or n < 0", None, [2]),
        (None, 'lang == "de"', [1, 2]),
        (None, 'lang != "de"', [0]),
        (None, "not (n < 3)", [0]),
        ('n == "text"', None, []),
        ("missing == null", None, [0, 1, 2]),
    ],
)
def test_groups_are_read_where_rows_may_be_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: str | None, exclude: str | None, groups: list[int]
) -> None:
    table = pa.table(
        {
            "text": [f"t{i}" for i in range(9)],
            "lang": ["de"] * 3 + ["en"] * 3 + ["fr"] * 3,
            "n": list(range(9)),
            "meta": [{"n": i} for i in range(9)],
            "missing": pa.array([None] * 9, pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=3)
    looked_at: list[int] = []
    included = parquet._included

    def watched(file: Any, group: int, *rest: Any) -> Any:
        looked_at.append(group)
        return included(file, group, *rest)

    monkeypatch.setattr(parquet, "_included", watched)
    settings = ReadSettings(include=include, exclude=exclude)
    batches = list(read_range(FileRange(source(tmp_path / "f.parquet")), settings))
    assert looked_at == groups
    assert sum(len(batch) + batch.excluded for batch in batches) == 9


def test_a_file_without_statistics_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "f.parquet", write_statistics=False)
    assert may_hold("n == 2", None, pq.read_metadata(tmp_path / "f.parquet").row_group(0))


class Footer:
    """Of a row group with one column, as a writer may have left it."""

    num_columns = 1
    path_in_schema = "n"
    is_stats_set = True

    def __init__(self, low: Any, high: Any) -> None:
        self.min, self.max = low, high
        self.has_min_max = self.has_null_count = True
        self.null_count = 0

    def column(self, _: int) -> Any:
        return self

    @property
    def statistics(self) -> Any:
        return self


def test_statistics_that_are_not_a_number_say_nothing() -> None:
    for low, high in ((math.nan, math.nan), (math.nan, 5.0), (1.0, math.nan)):
        assert may_hold("n == 3", None, Footer(low, high))
        assert may_hold("n > 0", None, Footer(low, high))
    assert not may_hold("n == 3", None, Footer(4.0, 5.0))


def test_groups_may_hold_text_that_is_no_utf8(tmp_path: Path) -> None:
    data = pa.array([b"a", b"b\xff", b"c"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, data.buffers())
    pq.write_table(pa.table({"text": ["x", "y", "z"], "s": column}), tmp_path / "f.parquet")
    for include, exclude in (("s == null", None), (None, 's >= "a"'), ('not (s >= "a")', None)):
        settings = ReadSettings(include=include, exclude=exclude)
        (batch,) = list(read_range(FileRange(source(tmp_path / "f.parquet")), settings))
        assert (batch.positions.tolist(), batch.excluded) == ([1], 2)
