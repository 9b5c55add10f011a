"""Smoothing: what it does to a distribution."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.importance import distribution, log_ratio
from dsir_core.model.smoothing import Smoothing, smoothed

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
