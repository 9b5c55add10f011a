"""KL reduction and effective sample size are those of their definitions, for sets that are summed in parts too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.metrics import WeightSums, kl_divergence, kl_reduction, mean_reduction

WEIGHTS = st.lists(st.floats(-1000, 1000), max_size=60)


def test_kl_divergence_of_known_distributions() -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert kl_divergence(p, q) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), abs=1e-8)
    assert kl_divergence(p, p) == 0.0


def test_a_bucket_that_is_missing_counts_with_the_epsilon() -> None:
    p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert kl_divergence(p, q) == pytest.approx(np.log(1 + 1e-10) - np.log(1e-10), rel=1e-12)


def test_kl_reduction_is_the_difference_that_the_selection_makes() -> None:
    target, raw, selected = np.array([1, 1]), np.array([1, 3]), np.array([9, 3])
    found = kl_reduction(target, raw, selected)
    p = np.array([0.5, 0.5])
    kl_raw, kl_selected = kl_divergence(p, np.array([0.25, 0.75])), kl_divergence(p, np.array([0.75, 0.25]))
    assert found == {"kl_raw": kl_raw, "kl_selected": kl_selected, "kl_reduction": kl_raw - kl_selected}
    assert kl_reduction(target, raw, target)["kl_reduction"] == kl_raw > 0


def test_a_target_that_selects_nothing_has_no_kl_reduction_and_does_not_count_in_the_mean() -> None:
    found = kl_reduction(np.array([1, 1]), np.array([1, 3]), np.array([0, 0]))
    assert found["kl_raw"] > 0
    assert found["kl_selected"] is found["kl_reduction"] is None
    assert mean_reduction([0.5, None, 0.1]) == pytest.approx(0.3)
    assert mean_reduction([None]) is mean_reduction([]) is None
    assert mean_reduction([0.0]) == 0.0


@given(WEIGHTS, WEIGHTS)
def test_sums_of_parts_are_those_of_the_whole(one: list[float], other: list[float]) -> None:
    values = np.array(one + other)
    merged, whole = WeightSums.of(np.array(one)).merge(WeightSums.of(np.array(other))), WeightSums.of(values)
    assert (merged.n, merged.peak) == (len(values), max(values, default=-np.inf))
    assert (merged.first, merged.second) == pytest.approx((whole.first, whole.second), rel=1e-9)
    if len(values):
        exact = np.exp(values - values.max())
        assert merged.first == pytest.approx(exact.sum(), rel=1e-9)
        assert merged.effective_sample_size == pytest.approx(exact.sum() ** 2 / (exact**2).sum(), rel=1e-9)


def test_the_effective_sample_size_is_between_one_and_all() -> None:
    assert WeightSums.of(np.full(7, -3.0)).effective_sample_size == 7
    assert WeightSums.of(np.array([0.0, -1e6])).effective_sample_size == 1
    assert WeightSums.of(np.array([1e308, -1e308])).effective_sample_size == 1
    assert WeightSums.of(np.array([np.log(3), 0.0])).effective_sample_size == pytest.approx(16 / 10)
    assert WeightSums().effective_sample_size == 0
    assert WeightSums.of(np.array([])) == WeightSums() == WeightSums(0, -np.inf, 0.0, 0.0)
