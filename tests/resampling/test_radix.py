"""Radix selection over any split of the keys finds what a plain sort finds."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.resampling.radix import (
    Goal,
    Histogram,
    HistogramSum,
    Threshold,
    add_histograms,
    digit_histogram,
    find_thresholds,
    order_bits,
)

KEYS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-52, -1.0, 5e-324, float("inf"), -float("inf"), 1e300]),
)
PARTS = st.lists(st.lists(st.tuples(KEYS, st.integers(0, 1000)), max_size=30), min_size=1, max_size=5)


def thresholds(parts: list[list[tuple[float, int]]], goals: Sequence[Goal]) -> list[Threshold]:
    arrays = [
        (order_bits(np.array([key for key, _ in part], np.float64)), np.array([n for _, n in part], np.int32))
        for part in parts
    ]

    def histograms(level: int, wanted: Sequence[tuple[int, int]]) -> list[HistogramSum]:
        sums = [HistogramSum() for _ in wanted]
        for bits, tokens in arrays:
            for total, (_, prefix) in zip(sums, wanted, strict=True):
                total.add(digit_histogram(bits, tokens, level, prefix))
        return sums

    return find_thresholds(1, lambda sums: goals, histograms)


def take(parts: list[list[tuple[float, int]]], threshold: Threshold) -> list[int]:
    """Indices taken by a threshold, ties in order of position."""
    rows = [row for part in parts for row in part]
    bits = order_bits(np.array([key for key, _ in rows], np.float64))
    taken = [i for i in range(len(rows)) if int(bits[i]) > threshold.bits]
    left = threshold.ties
    for i in range(len(rows)):
        if int(bits[i]) == threshold.bits:
            size = 1 if threshold.unit == "documents" else rows[i][1]
            if size > left or (threshold.unit == "documents" and not left):
                break
            taken.append(i)
            left -= size
    return sorted(taken)


@given(st.lists(KEYS, min_size=2, max_size=2))
def test_order_bits_keep_the_order(pair: list[float]) -> None:
    first, second = (int(bits) for bits in order_bits(np.array(pair)))
    assert (first < second) == (pair[0] < pair[1])
    assert (first == second) == (pair[0] == pair[1])


@given(PARTS, st.integers(0, 160))
def test_count_goals_take_the_largest(parts: list[list[tuple[float, int]]], k: int) -> None:
    rows = [row for part in parts for row in part]
    (threshold,) = thresholds(parts, [Goal(0, k)])
    ranked = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    assert take(parts, threshold) == sorted(ranked[:k])


@given(PARTS, st.integers(0, 20_000))
def test_token_goals_take_the_longest_run_that_fits(parts: list[list[tuple[float, int]]], budget: int) -> None:
    rows = [row for part in parts for row in part]
    (threshold,) = thresholds(parts, [Goal(0, budget, "tokens")])
    expected, left = [], budget
    for i in sorted(range(len(rows)), key=lambda i: (-rows[i][0], i)):
        if rows[i][1] > left or budget == 0:
            break
        expected.append(i)
        left -= rows[i][1]
    assert take(parts, threshold) == sorted(expected)


@given(PARTS, st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_goals_side_by_side_are_goals_alone(parts: list[list[tuple[float, int]]], amounts: list[int]) -> None:
    together = thresholds(parts, [Goal(0, amount) for amount in amounts])
    assert together == [thresholds(parts, [Goal(0, amount)])[0] for amount in amounts]


@given(PARTS)
def test_sums_of_histograms_do_not_depend_on_how_they_are_joined(parts: list[list[tuple[float, int]]]) -> None:
    histograms = [
        [
            digit_histogram(
                order_bits(np.array([key for key, _ in part], np.float64)),
                np.array([n for _, n in part], np.int32),
                0,
                0,
            )
        ]
        for part in parts
    ]
    pairs = [add_histograms(histograms[i : i + 2]) for i in range(0, len(histograms), 2)]
    (one,), (other,) = add_histograms(histograms), add_histograms(pairs)
    assert one.bins.tolist() == other.bins.tolist()
    assert one.documents.tolist() == other.documents.tolist()
    assert one.tokens.tolist() == other.tokens.tolist()
    assert sum(one.documents.tolist()) == sum(len(part) for part in parts)


@pytest.mark.parametrize("n", [1, 255, 256, 2**16, 2**32 - 1, 2**32, 2**62])
def test_a_histogram_that_travels_holds_any_number(n: int) -> None:
    total = HistogramSum()
    sparse = Histogram.sparse(np.array([0, 1, n]), np.array([0, 0, n]))
    total.add(sparse)
    assert (total.documents[:3].tolist(), total.tokens[:3].tolist()) == ([0, 1, n], [0, 0, n])
    assert sparse.bins.tolist() == [1, 2]
