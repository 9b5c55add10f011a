"""What the report tallies while documents are marked: the same whatever the shards, and right."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.resampling.candidates import KINDS, N_CANDIDATES, REACH_BYTES
from dsir_core.resampling.keys import Chooser, Cut, Ranking, View
from dsir_core.resampling.methods import keys_of
from dsir_core.resampling.overview import BINS, LENGTHS, Overview, Scale, overview_of
from dsir_core.resampling.radix import EVERYTHING, NOTHING, order_bits
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import Rows

FILES = ["a.jsonl", "b.jsonl.gz", "c.parquet"]
MIN_TOKENS = 4

documents = st.lists(
    st.tuples(
        st.integers(0, len(FILES) - 1),
        st.integers(0, 2 * REACH_BYTES),
        st.integers(0, 40),
        st.sampled_from([-50.0, -3.5, 0.0, 0.25, 7.0, 1000.0]),
    ),
    max_size=40,
    unique_by=lambda document: document[:2],
).map(sorted)


def rows_of(found: list[tuple[int, int, int, float]]) -> Rows:
    codes, positions, n_tokens, weights = zip(*found, strict=True) if found else ((), (), (), ())
    return Rows(
        np.array(codes, np.int32), FILES, np.array(positions, np.int64), np.array(n_tokens, np.int32),
        {"log_weight": np.array(weights, np.float64)},
    )  # fmt: skip


def cut_at(rows: Rows, method: str, place: float) -> Cut:
    """A cut without ties, at about a share of the documents."""
    ranking = Ranking(method, 3, 0, "log_weight", WeightScaling())  # type: ignore[arg-type]
    bits = np.sort(order_bits(keys_of(rows, ranking)))
    return Cut(ranking, int(bits[min(int(place * len(bits)), len(bits) - 1)]) if len(bits) else 0, 0)


SCALE = Scale("t", "log_weight", WeightScaling(), -5.0, 7.0)


def viewed(rows: Rows, cut: Cut) -> Overview:
    view = View(rows, MIN_TOKENS)
    return overview_of(view, Chooser((cut,), MIN_TOKENS).choose(view), (cut,), ("t",), (SCALE,))


@given(
    documents,
    st.sampled_from(["importance", "top-k", "random"]),
    st.floats(0, 1),
    st.integers(0, 40),
    st.sampled_from([None, EVERYTHING.bits, NOTHING.bits]),
)
def test_views_of_parts_merge_to_the_view_of_the_whole(
    found: list[tuple[int, int, int, float]], method: str, place: float, split: int, bits: int | None
) -> None:
    cut = cut_at(rows_of(found), method, place)
    cut = cut if bits is None else replace(cut, bits=bits)
    whole = viewed(rows_of(found), cut)
    merged = Overview()
    for part in (found[:split], found[split:]):
        merged.merge(Overview.from_json(json.loads(json.dumps(viewed(rows_of(part), cut).to_json()))))
    assert json.dumps(merged.to_json()) == json.dumps(whole.to_json())


@given(documents, st.floats(0, 1))
def test_a_view_counts_every_document_once(found: list[tuple[int, int, int, float]], place: float) -> None:
    rows = rows_of(found)
    cut = cut_at(rows, "top-k", place)
    view = viewed(rows, cut)
    eligible = [one for one in found if one[2] >= MIN_TOKENS]
    bits = order_bits(rows.log_weights["log_weight"])
    selected = [one for one, key in zip(found, bits, strict=True) if one[2] >= MIN_TOKENS and key > cut.bits]

    def by(group: list[tuple[int, int, int, float]], length: bool) -> Counter[int]:
        return Counter(one[2].bit_length() if length else one[0] for one in group)

    for i, group in enumerate((found, eligible, selected)):
        assert view.lengths[i].tolist() == [by(group, True)[bits] for bits in range(LENGTHS)]
        assert {code: int(view.files[path][i]) for code, path in enumerate(FILES) if path in view.files} == {
            code: by(group, False)[code] for code in {one[0] for one in found}
        }
    for counts, group in zip(view.histograms["t"], (eligible, selected), strict=True):
        edges = np.linspace(-5, 7, BINS + 1)
        weights = [one[3] for one in group]
        inside, _ = np.histogram([w for w in weights if -5 <= w <= 7], edges)
        assert counts.tolist() == [sum(w < -5 for w in weights), *inside, sum(w > 7 for w in weights)]
    assert view.positive["t"].tolist() == [sum(one[3] > 0 for one in group) for group in (eligible, selected)]


@given(documents, st.floats(0, 1))
def test_candidates_are_of_their_kind_and_within_reach(found: list[tuple[int, int, int, float]], place: float) -> None:
    rows = rows_of(found)
    cut = cut_at(rows, "top-k", place)
    view = viewed(rows, cut)
    reachable = [one for one in found if one[0] != 1 or one[1] < REACH_BYTES]
    threshold = sorted(order_bits(rows.log_weights["log_weight"])).index(np.uint64(cut.bits)) if found else 0
    weight = sorted(rows.log_weights["log_weight"])[threshold] if found else 0
    selected = {one[:2] for one in reachable if one[2] >= MIN_TOKENS and one[3] > weight}
    rejected = {one[:2]: one[3] for one in reachable if one[2] >= MIN_TOKENS and one[3] <= weight}
    names = {kind: [(FILES.index(one.file), one.position) for one in view.candidates.get(kind, [])] for kind in KINDS}
    assert set(names["selected"]) <= selected
    assert set(names["rejected"]) <= set(rejected)
    assert len(names["selected"]) == min(N_CANDIDATES, len(selected))
    nearest = sorted(rejected, key=lambda one: (-rejected[one], one))[:N_CANDIDATES]
    assert names["missed"] == nearest
    weights = {one[:2]: one[3] for one in reachable if one[:2] in selected}
    assert names["barely"] == sorted(weights, key=lambda one: (weights[one], one))[:N_CANDIDATES]


def test_where_all_are_selected_none_is_barely_so() -> None:
    found = rows_of([(0, i, 10, float(i)) for i in range(3)])
    view = viewed(found, replace(cut_at(found, "top-k", 0), bits=EVERYTHING.bits))
    assert {kind: len(named) for kind, named in view.candidates.items()} == {
        "selected": 3, "barely": 0, "missed": 0, "rejected": 0,
    }  # fmt: skip


@pytest.mark.parametrize("value", [-5.0, 7.0])
def test_the_ends_of_a_scale_lie_inside(value: float) -> None:
    counts = SCALE.count(np.array([value]), np.array([1], np.int32))
    assert counts[1 if value < 0 else BINS] == 1


EXTREMES = {
    "one value": [2.0**60],
    "one value above 2^53": [2.0**53],
    "one value at the end of float64": [1.7e308],
    "smallest numbers": [0.0, 5e-324],
    "a tiny range": [1.0e-310, 2.0e-310, 3.0e-310],
    "a huge range": [-1.7e308, 0.0, 1.7e308],
    "neighbours": [2.0**53, 2.0**53 + 2],
}


@pytest.mark.parametrize("values", EXTREMES.values(), ids=list(EXTREMES))
def test_histograms_hold_every_finite_score(values: list[float]) -> None:
    quantiles = {"0.05": min(values), "1": max(values)}
    scale = Scale.over("t", "log_weight", WeightScaling(), quantiles, np.empty(0))
    assert np.isfinite([scale.low, scale.high]).all()
    counts = scale.count(np.array(values), np.ones(len(values), np.int32))
    assert counts.sum() == len(values)
    assert counts[1:-1].sum() == len(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.data())
def test_histograms_count_every_finite_score_once_and_in_order(values: list[float], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=5))
    scale = Scale.over("t", "log_weight", WeightScaling(), {"0.05": min(some), "1": max(some)}, np.empty(0))
    bins = [int(scale.count(np.array([value]), np.ones(1, np.int32)).argmax()) for value in sorted(values)]
    assert bins == sorted(bins)
    assert scale.count(np.array(values), np.ones(len(values), np.int32)).sum() == len(values)
