"""Scores joined by key are those of a dictionary, whatever the kinds of keys and how the table is cut."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.settings import ExternalSettings
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.external.keys import key_strings, string_hashes
from dsir_core.external.scores import FINE, REASONS, DocumentScores, add_scores, scores_of
from dsir_core.external.table import TableRows, read_table
from dsir_core.shards.join import KeyLookup
from tests.corpus.files import source

KEYS = st.one_of(st.none(), st.integers(-5, 5), st.text("ab1-\u00e9", max_size=3), st.just(True), st.just([1]))
SCORES = st.one_of(st.none(), st.floats(-5, 5), st.integers(-3, 3), st.sampled_from([math.nan, math.inf, "x", True]))


def oracle_status(score: Any) -> str:
    if score is None:
        return "missing"
    if isinstance(score, bool) or not isinstance(score, int | float):
        return "not a number"
    return "" if math.isfinite(score) else "not finite"


@given(
    documents=st.lists(KEYS, max_size=20),
    table=st.lists(st.tuples(KEYS, SCORES), max_size=20),
    rows_at_once=st.integers(1, 7),
)
def test_a_lookup_is_a_dictionary_of_the_tables_first_rows(
    documents: list[Any], table: list[tuple[Any, Any]], rows_at_once: int
) -> None:
    first: dict[str, Any] = {}
    times: dict[str, int] = {}
    for key, score in table:
        if isinstance(key, str | int) and not isinstance(key, bool):
            first.setdefault(str(key), score)
            times[str(key)] = times.get(str(key), 0) + 1
    texts, there = key_strings(documents)
    lookup = KeyLookup(*string_hashes(texts), there)
    for start in range(0, len(table), rows_at_once):
        keys, has_key = key_strings([key for key, _ in table[start : start + rows_at_once]])
        found = scores_of([score for _, score in table[start : start + rows_at_once]])
        lookup.offer(TableRows(keys.filter(pa.array(has_key)), found.scores[has_key], found.status[has_key]))
    got = lookup.found()
    for i, key in enumerate(documents):
        if not isinstance(key, str | int) or isinstance(key, bool):
            expected = "record has no key"
        elif str(key) not in first:
            expected = "key is not in the table"
        else:
            expected = oracle_status(first[str(key)])
            assert got.duplicates[i] == (times[str(key)] > 1)
        assert REASONS[got.status[i]] == expected
        assert math.isnan(got.scores[i]) == bool(expected)
        if not expected:
            assert got.scores[i] == first[str(key)]


def test_different_strings_of_one_length_have_different_hashes() -> None:
    texts = pa.array([f"{i:07d}" for i in range(200_000)], pa.large_string())
    first, second = string_hashes(texts)
    assert len(np.unique(first)) == len(np.unique(second)) == len(texts)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("integers", [True, False])
def test_tables_of_every_format(tmp_path: Path, suffix: str, integers: bool) -> None:
    rows = [{"id": i if integers else f"d{i}", "score": i / 8, "other": "x"} for i in range(500)]
    rows[3]["score"] = None
    rows[4]["id"] = None
    path = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=64)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(read_table((source(path),), "id", "score"))
    keys = [key for part in found for key in part.keys.to_pylist()]
    assert keys == [str(row["id"]) for row in rows if row["id"] is not None]
    status = np.concatenate([part.status for part in found])
    assert [REASONS[s] for s in status if s != FINE] == ["missing"]
    scores = np.concatenate([part.scores for part in found])
    assert scores[status == FINE].tolist() == [i / 8 for i in range(500) if i not in (3, 4)]


def test_a_damaged_table_is_no_short_one(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text('{"id": 1, "score": 2}\n{"id": 2, "sco')
    with pytest.raises(DamagedFileError, match="22"):
        list(read_table((source(path),), "id", "score"))
    pq.write_table(pa.table({"id": [1], "scores": [2.0]}), tmp_path / "t.parquet")
    with pytest.raises(RequestError, match="'scores'"):
        list(read_table((source(tmp_path / "t.parquet"),), "id", "score"))


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_weights_are_added_with_their_coefficients(ngram: float, external: float) -> None:
    settings = ExternalSettings(column="s", ngram=ngram, external=external)
    weights = np.array([[1.0, 2.0], [3.0, -4.0], [-1e6, 0.0]])
    scores = np.array([0.5, math.nan, 2.0])
    status = np.where(np.isnan(scores), np.uint8(3), np.uint8(FINE))
    found, kept = add_scores(weights, DocumentScores(scores, status, np.zeros(3, bool)), settings)
    assert kept.status.tolist() == status.tolist()
    assert np.isnan(found[1]).all()
    if ngram == 0:
        assert found[2].tolist() == [external * 2.0] * 2
    assert np.allclose(found[0], ngram * weights[0] + external * 0.5)


def test_what_is_too_large_for_a_weight_is_not_finite_for_any_target() -> None:
    found = scores_of([1e308, -(10**308), 1.0, None])
    weights = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0], [4.0, 5.0]])
    added, kept = add_scores(weights, found, ExternalSettings(column="s", ngram=1.0, external=10.0))
    assert [REASONS[status] for status in kept.status.tolist()] == ["not finite", "not finite", "", "missing"]
    assert np.isnan(added[[0, 1, 3]]).all()
    assert added[2].tolist() == [12.0, 13.0]
    one_sided, kept = add_scores(
        np.array([[0.0, 2.0]]), scores_of([1.0]), ExternalSettings(column="s", ngram=1e308, external=1.0)
    )
    assert np.isnan(one_sided).all()
    assert kept.status.tolist() == [1]


def test_a_carriage_return_ends_no_row(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(b'{"k": "a",\r"s": 1}\r\n\n{"k": "b", "s": 2}')
    rows = list(read_table((source(path),), "k", "s"))
    assert [key for part in rows for key in part.keys.to_pylist()] == ["a", "b"]
    assert [score for part in rows for score in part.scores.tolist()] == [1.0, 2.0]
