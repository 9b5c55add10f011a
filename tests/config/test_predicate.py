"""Conditions on fields: what they mean, what they refuse, and that every format reads the same records by them."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.predicate import Condition, parse_predicate
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange
from tests.corpus.files import source, texts_of

RECORD: dict[str, Any] = {
    "lang": "en",
    "score": 0.5,
    "n": 3,
    "tags": ["a", "b"],
    "meta": {"source": "wiki", "odd key": 1},
    "none": None,
    "yes": True,
}


def holds(text: str, record: Any = RECORD) -> bool:
    predicate = parse_predicate(text)
    values = field_decoder(predicate.fields)(json.dumps(record).encode())
    assert values is not None
    return predicate.holds(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('lang == "en"', True),
        ('lang != "en"', False),
        ('lang in ["de", "en"]', True),
        ('lang not in ("de", "fr")', True),
        ("0.4 < score <= 0.5", True),
        ("score >= 0.5 and n > 3", False),
        ("not (score >= 0.5 and n > 3)", True),
        ('meta.source == "wiki" or nothing', True),
        ('meta["odd key"] == 1', True),
        ('"a" in tags', True),
        ('"ik" in meta.source', True),
        ("yes", True),
        ("yes == true", True),
        ("missing == null", True),
        ("none == null and n != null", True),
        ("missing > 0 or missing < 0", False),
        ("missing != 1", True),
        ('score > "0.1"', False),
        ("n > -1", True),
        ("lang.deeper == null", True),
    ],
)
def test_conditions_mean_what_they_say(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("lang ==", "", "1 == 1", "__import__('os').system('x')", "f(lang)", "lang + 1 == 2", "lambda: 1", "(x := 1)"),
        *("[a for a in b]", "lang is None", "lang[0] == 1", "a ** 9 ** 9 ** 9 > 1", 'f"{lang}" == "a"', "b'a' == lang"),
        *("(" * 5000 + "a" + ")" * 5000, "a == 1 " * 5000, "not " * 2000 + "a"),
    ],
)
def test_what_is_no_condition_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(ValueError, match=r"condition|comparison|character"):
        parse_predicate(text)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, -1.5]), st.text("ab", max_size=2)
)


@given(a=VALUES, b=VALUES, limit=st.integers(-3, 3), word=st.text("ab", max_size=2))
def test_conditions_are_those_of_python_where_that_has_an_answer(a: Any, b: Any, limit: int, word: str) -> None:
    text = f'(a == {limit} or b != "{word}") and not (b == null or a in [1, 2, "{word}"])'
    expected = (a == limit or b != word) and not (b is None or a in [1, 2, word])
    assert holds(text, {"a": a, "b": b}) is expected


@given(
    st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8),
    st.lists(st.sampled_from(["a", "b", "a.b", "a.b.c", "b.a"]), min_size=1, max_size=4, unique=True),
)
def test_values_of_fields_are_those_of_the_slow_way(record: Any, names: list[str]) -> None:
    def follow(value: Any, name: str) -> Any:
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    found = field_decoder(names)(json.dumps(record).encode())
    assert found == ([follow(record, name) for name in names] if isinstance(record, dict) else None)


def test_dates_are_text_and_decimals_numbers() -> None:
    condition = Condition.of('day >= "2024-02-01" and price < 2.5', None)
    assert condition is not None
    assert condition.holds([datetime.date(2024, 3, 1), decimal.Decimal("2.4")])
    assert not condition.holds([datetime.date(2024, 1, 1), decimal.Decimal("2.4")])


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_format_reads_the_same_records_and_counts_the_others(tmp_path: Path, suffix: str) -> None:
    records = [{"text": f"t{i}", "lang": ["en", "de", None][i % 3], "meta": {"n": i}} for i in range(1000)]
    path = tmp_path / f"raw{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=130)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records) + "\nbroken\n")
    settings = ReadSettings(include='lang in ["en", "de"]', exclude="meta.n >= 300 and meta.n < 900")
    batches = list(read_range(FileRange(source(path)), settings, fields=("meta.n", "lang")))
    wanted = [r for r in records if r["lang"] and not 300 <= r["meta"]["n"] < 900]
    texts = [text for batch in batches for text in texts_of(batch)]
    assert texts == [record["text"] for record in wanted]
    assert [values for b in batches for values in b.fields] == [[r["meta"]["n"], r["lang"]] for r in wanted]
    assert sum(batch.excluded for batch in batches) == len(records) - len(wanted)
    assert sum(len(batch.bad) for batch in batches) == (suffix == ".jsonl")
