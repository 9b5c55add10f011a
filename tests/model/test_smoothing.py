"""Smoothing: what it does to a distribution, and what `auto` finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.importance import distribution, log_ratio
from dsir_core.model.smoothing import EPSILON, Smoothing, held_out_nats, pick_smoothing, smoothed

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


@given(st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=2, max_size=5), SMOOTHINGS)
def test_held_out_likelihood_is_that_of_the_definition(rows: list[list[int]], smoothing: Smoothing) -> None:
    folds = np.array([*rows, [1, 0, 0, 0], [0, 1, 0, 0]])
    q = distribution(np.array([4, 3, 2, 1]))
    total = 0.0
    for i, fold in enumerate(folds.tolist()):
        rest = folds.sum(axis=0) - folds[i]
        for bucket, n in enumerate(fold):
            p = (rest[bucket] + smoothing.laplace + smoothing.raw_prior * q[bucket]) / (
                rest.sum() + 4 * smoothing.laplace + smoothing.raw_prior
            )
            total += n * math.log(p + EPSILON)
    assert held_out_nats(folds, q, smoothing) == pytest.approx(total / folds.sum(), rel=1e-9)


def test_a_small_target_near_to_raw_gets_a_strong_prior_and_a_large_one_a_weak_one() -> None:
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.full(1000, 0.3))
    p = 0.9 * q + 0.1 * rng.dirichlet(np.full(1000, 0.3))
    small = pick_smoothing(rng.multinomial(20, p, size=10), q)
    large = pick_smoothing(rng.multinomial(200_000, p, size=10), q)
    assert small is not None
    assert large is not None
    assert small.smoothing.raw_prior >= 100
    assert small.nats is not None
    assert small.unsmoothed_nats is not None
    assert small.nats > small.unsmoothed_nats + 1
    assert large.smoothing.raw_prior <= 1000
    assert large.nats == pytest.approx(large.unsmoothed_nats, abs=0.01)


def test_one_document_says_nothing_of_how_to_foretell_another() -> None:
    assert pick_smoothing(np.array([[3, 1], [0, 0]]), np.array([0.5, 0.5])) is None
