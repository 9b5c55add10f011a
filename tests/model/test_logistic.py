"""Logistic regression ends at the minimum, wherever Newton's method leads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.classifier import fit_classifier
from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.logistic import Features, Problem, probability


def sparse(rows: npt.NDArray[np.int64]) -> SparseDocuments:
    places, buckets = np.nonzero(rows)
    starts = np.searchsorted(places, np.arange(len(rows) + 1))
    counts = rows[places, buckets].astype(np.int32)
    return SparseDocuments(np.arange(len(rows)).astype(np.uint64), starts, buckets.astype(np.int32), counts)


def gradient(features: npt.NDArray[np.float64], problem: Problem, point: npt.NDArray[np.float64]) -> npt.NDArray:
    """By dense features, the last of which is 1."""
    chance = 1 / (1 + np.exp(-np.clip(features @ point, -700, 700)))
    return np.append(point[:-1], 0) + features.T @ (problem.importance * (chance - problem.labels))


ROWS = st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=12).map(
    lambda rows: [[*row[:2], row[2] + 1] for row in rows]
)
"""None is empty."""


@given(ROWS, ROWS)
def test_the_fit_ends_at_the_minimum(target: list[list[int]], raw: list[list[int]]) -> None:
    rows = np.array([*target, *raw])
    n, labels = len(rows), np.arange(len(rows)) < len(target)
    found = fit_classifier(sparse(rows[labels]), sparse(rows[~labels]), 3)
    shares = rows / rows.sum(axis=1, keepdims=True)
    length = np.sqrt((shares**2).sum() / n)
    point = np.append(found.coefficients * length, found.intercepts)
    importance = np.where(labels, n / (2 * labels.sum()), n / (2 * (~labels).sum()))
    problem = Problem(Features(sparse(rows), 3, np.ones(n)), labels.astype(float), importance)
    dense = np.column_stack([shares / length, np.ones(n)])
    assert np.abs(gradient(dense, problem, point)).max() <= 1.01e-10 * n


def test_a_step_that_goes_too_far_is_shortened() -> None:
    """Full steps from here go up and down for ever: features and importance differ by orders of magnitude."""
    factors, importance = np.array([2.6, 0.5, 90.0, 31.0]), np.array([3.6, 0.07, 0.35, 630.0])
    rows, labels = np.ones((4, 1), np.int64), np.array([0.0, 1.0, 1.0, 0.0])
    problem = Problem(Features(sparse(rows), 1, factors), labels, importance)
    point = problem.solve(1e-10)
    assert np.abs(gradient(np.column_stack([factors, np.ones(4)]), problem, point)).max() <= 1.01e-10 * 4


def test_a_probability_is_right_from_one_end_to_the_other() -> None:
    found = probability(np.array([-np.inf, -1e300, -30.0, 0.0, 30.0, 1e300, np.inf]))
    assert found.tolist() == pytest.approx(
        [0, 0, 9.357622968839299e-14, 0.5, 1 - 9.357622968839299e-14, 1, 1], rel=1e-14, abs=1e-300
    )
