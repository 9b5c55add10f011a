"""Radix selection over any split of the keys finds what a plain sort finds."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsir_core.resampling.radix import (
    BINS,
    EVERYTHING,
    LEVELS,
    NOTHING,
    Goal,
    Histogram,
    HistogramSum,
    Threshold,
    Unit,
    add_histograms,
    digit_histogram,
    find_thresholds,
    keys_of_bits,
    order_bits,
)

EDGES = [0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0xBFF0_0001_0000_0000, 0xBFF0_0001_0001_0000]
"""Ordered integers at which bins of each level begin."""

KEYS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-52, -1.0, 5e-324, float("inf"), -float("inf"), 1e300]),
    st.builds(lambda edge, step: float(keys_of_bits(np.array([edge + step], np.uint64))[0]),
              st.sampled_from(EDGES), st.integers(-3, 3)),
)  # fmt: skip
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


def test_ordered_integers_are_the_bits_of_positive_keys_above_those_of_negative_ones_turned_over() -> None:
    infinity, smallest = float("inf"), 5e-324
    keys = np.array([-infinity, -1.0, -smallest, -0.0, 0.0, smallest, 1.0, infinity])
    bits = [
        0x000F << 48 | 2**48 - 1,
        0x400F << 48 | 2**48 - 1,
        2**63 - 2,
        2**63,
        2**63,
        2**63 + 1,
        0xBFF0 << 48,
        0xFFF0 << 48,
    ]
    assert order_bits(keys).tolist() == bits
    assert keys_of_bits(order_bits(keys)).tolist() == keys.tolist()
    assert order_bits(keys_of_bits(np.array(EDGES, np.uint64))).tolist() == EDGES


def test_the_bounds_of_all_thresholds_belong_to_no_key() -> None:
    below, above = keys_of_bits(np.array([EVERYTHING.bits, NOTHING.bits], np.uint64)).tolist()
    assert np.isnan(below)
    assert np.isnan(above)
    assert (EVERYTHING.bits, NOTHING.bits, EVERYTHING.ties, NOTHING.ties) == (0, 2**64 - 1, 0, 0)


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


@settings(max_examples=settings().max_examples // 4)
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


@pytest.mark.parametrize(("n", "size"), [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32, 8)])
def test_a_histogram_travels_in_the_narrowest_type_that_holds_it(n: int, size: int) -> None:
    sparse = Histogram.sparse(np.array([1]), np.array([n]))
    assert (sparse.bins.dtype, sparse.documents.dtype, sparse.tokens.dtype.itemsize) == (np.uint16, np.uint8, size)


def test_a_histogram_of_nothing_is_empty_and_a_digit_may_be_the_last() -> None:
    nothing = Histogram.of(np.zeros(0, np.int64), np.zeros(0, np.int32))
    assert [len(nothing.bins), len(nothing.documents), len(nothing.tokens)] == [0, 0, 0]
    assert nothing.documents.dtype == nothing.tokens.dtype == np.uint8
    last = digit_histogram(np.array([2**64 - 1], np.uint64), np.array([7], np.int32), 0, 0)
    assert (last.bins.tolist(), last.documents.tolist(), last.tokens.tolist()) == ([BINS - 1], [1], [7])


@given(PARTS, st.integers(1, 160), st.integers(1, LEVELS - 1), st.sampled_from(["documents", "tokens"]))
def test_a_goal_of_fewer_digits_ends_at_the_lower_edge_of_its_bin(
    parts: list[list[tuple[float, int]]], amount: int, levels: int, unit: Unit
) -> None:
    (exact,), (coarse,) = thresholds(parts, [Goal(0, amount, unit)]), thresholds(parts, [Goal(0, amount, unit, levels)])
    low = 64 - 16 * levels
    settled = [int(bits) for bits in order_bits(np.array([key for part in parts for key, _ in part], np.float64))]
    if exact == EVERYTHING:
        assert coarse == EVERYTHING
        return
    assert coarse.ties == 0
    assert coarse.bits % 2**low == 0
    # The bin holds the key at which the exact goal ends: the lowest that is taken, or the highest that does not fit.
    taken = [bits for bits in settled if bits > exact.bits]
    ends = (
        exact.bits if exact.bits in settled else min(taken) if unit == "documents" else max(set(settled) - set(taken))
    )
    assert coarse.bits == ends >> low << low


def test_a_pass_asks_for_each_open_bin_once_and_for_nothing_when_all_is_settled() -> None:
    asked: list[tuple[int, list[tuple[int, int]]]] = []
    bits, tokens = order_bits(np.array([1.0, 1.0, 2.0, -1.0])), np.array([1, 1, 1, 1], np.int32)

    def histograms(level: int, wanted: Sequence[tuple[int, int]]) -> list[HistogramSum]:
        asked.append((level, list(wanted)))
        sums = [HistogramSum() for _ in wanted]
        for total, (_, prefix) in zip(sums, wanted, strict=True):
            total.add(digit_histogram(bits, tokens, level, prefix))
        return sums

    found = find_thresholds(2, lambda sums: [Goal(1, 2), Goal(0, 2), Goal(0, 2), Goal(0, 1), Goal(1, 0)], histograms)
    one = int(order_bits(np.array([1.0]))[0])
    assert found == [Threshold(one, 1)] * 3 + [Threshold((0xC000 << 48) - 1, 0), NOTHING]
    prefixes = [one >> 48, one >> 32, one >> 16]
    assert asked == [(0, [(0, 0), (1, 0)]), *((n + 1, [(0, prefix), (1, prefix)]) for n, prefix in enumerate(prefixes))]
    asked.clear()
    assert find_thresholds(1, lambda sums: [Goal(0, 1)], histograms) == [Threshold((0xC000 << 48) - 1, 0)]
    assert len(asked) == 1


def test_a_token_goal_that_ends_before_the_only_document_of_a_bin_needs_no_further_pass() -> None:
    parts = [[(1.0, 5), (2.0, 5)]]
    assert thresholds(parts, [Goal(0, 7, "tokens")]) == [Threshold((0xBFF1 << 48) - 1, 0, "tokens")]
