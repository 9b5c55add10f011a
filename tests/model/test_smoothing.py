"""Smoothing: what it does to a distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.importance import distribution, log_ratio
from dsir_core.model.smoothing import DEFAULT, FEW_NGRAMS_PER_BUCKET, NONE, Smoothing, smoothed

SMOOTHINGS = st.one_of(
    st.floats(0, 10).map(lambda n: Smoothing(laplace=n)), st.floats(1e-3, 1e6).map(lambda n: Smoothing(raw_prior=n))
)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3), SMOOTHINGS)
def test_a_smoothed_distribution_is_one(counts: list[int], smoothing: Smoothing) -> None:
    q = distribution(np.array([5, 3, 0]))
    p = smoothed(np.array([counts, counts]) + np.eye(2, 3, dtype=int), q, smoothing)
    assert np.allclose(p.sum(axis=1), 1)
    assert (p >= 0).all()


def test_the_prior_leaves_what_the_target_does_not_hold_as_likely_as_in_raw() -> None:
    raw = np.array([600, 300, 100])
    ratios = log_ratio(np.array([10, 0, 0]), raw, Smoothing(raw_prior=1e9))
    assert np.allclose(ratios, 0, atol=1e-6)
    ratios = log_ratio(np.array([10, 0, 0]), raw, Smoothing(raw_prior=10))
    assert np.allclose(ratios, np.log([(10 + 6) / 20 / 0.6, 0.5, 0.5]), atol=1e-6)


def test_what_is_added_is_that_of_the_definition() -> None:
    counts, raw = np.array([[3, 0, 1], [0, 2, 0]]), np.array([0.5, 0.25, 0.25])
    laplace = smoothed(counts, raw, Smoothing(laplace=0.5))
    np.testing.assert_array_equal(laplace, (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 1.5))
    prior = smoothed(counts, raw, Smoothing(raw_prior=8))
    np.testing.assert_array_equal(prior, (counts + 8 * raw) / (counts.sum(axis=1, keepdims=True) + 8))
    np.testing.assert_array_equal(smoothed(counts, raw, NONE), counts / counts.sum(axis=1, keepdims=True))


def test_nothing_is_a_distribution_only_with_something_added() -> None:
    raw = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="sum to zero"):
        smoothed(np.array([[1, 1], [0, 0]]), raw, NONE)
    np.testing.assert_array_equal(smoothed(np.array([0, 0]), raw, Smoothing(laplace=1)), raw)
    np.testing.assert_array_equal(smoothed(np.array([1, 0]), raw, NONE), [1, 0])


def test_a_smoothing_reads_as_it_is_asked_for() -> None:
    """The default is that of docs/quality.md."""
    assert [str(smoothing) for smoothing in (NONE, Smoothing(laplace=0.1), DEFAULT)] == ["0", "0.1", "raw_prior=10000"]
    assert FEW_NGRAMS_PER_BUCKET == 10
