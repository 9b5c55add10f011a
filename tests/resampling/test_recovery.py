"""Held-out recovery against a slow count, and what it promises of folds, tiny targets and copies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.importance import log_ratio
from dsir_core.model.smoothing import NONE, Smoothing
from dsir_core.resampling.recovery import (
    CANDIDATES,
    FOLDS,
    GRID,
    Candidate,
    Sample,
    folds_of,
    measure,
    near_copies,
    tokens_of,
)

BUCKETS = 40
PLAIN = Candidate(NONE, "none")


def documents(rows: npt.NDArray[np.int64], seed: int = 0) -> SparseDocuments:
    """Rows of counts, int64[n, BUCKETS], as sparse documents."""
    places, buckets = np.nonzero(rows)
    starts = np.searchsorted(places, np.arange(len(rows) + 1)).astype(np.int64)
    order = np.random.default_rng(seed).integers(0, 2**63, len(rows)).astype(np.uint64)
    return SparseDocuments(order, starts, buckets.astype(np.int32), rows[places, buckets].astype(np.int32))


def random_rows(
    rng: np.random.Generator, n: int, p: npt.NDArray[np.float64], length: int = 60
) -> npt.NDArray[np.int64]:
    return np.asarray(rng.multinomial(length, p, size=n), np.int64)


def distributions(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return rng.dirichlet(np.ones(BUCKETS)), rng.dirichlet(np.ones(BUCKETS))


def sample_of(target: npt.NDArray[np.int64], raw: npt.NDArray[np.int64], min_tokens: int = 0) -> Sample:
    return Sample(
        documents(target), target.sum(axis=0), documents(raw, 1), raw.sum(axis=0), ngrams=1, min_tokens=min_tokens
    )


@pytest.mark.parametrize("candidate", [PLAIN, Candidate(Smoothing(raw_prior=100.0), "tokens"), CANDIDATES[-1]])
def test_ranks_are_those_of_a_slow_count(candidate: Candidate) -> None:
    rng = np.random.default_rng(3)
    p, q = distributions(rng)
    target = random_rows(rng, 12, p) * rng.integers(1, 3, (12, 1))
    raw = np.concatenate([random_rows(rng, 50, q), random_rows(rng, 5, p, 20)])
    sample = sample_of(target, raw, min_tokens=30)
    (ranks,) = measure(sample, [candidate]) or [None]
    assert ranks is not None
    folds = folds_of(near_copies(sample.target), sample.target.order, FOLDS)
    divide = {"none": lambda _: 1.0, "tokens": float, "sqrt": math.sqrt}[candidate.length]
    for i, fold in enumerate(folds.tolist()):
        others = target.sum(axis=0) - target[folds == fold].sum(axis=0)
        ratios = np.round(log_ratio(others, raw.sum(axis=0), candidate.smoothing) / GRID).astype(np.int64)
        mine = (target[i] @ ratios) / divide(target[i].sum())
        theirs = [(row @ ratios) / divide(row.sum()) for row in raw if row.sum() >= 30]
        assert ranks.above[i] == sum(2 * (other > mine) + (other == mine) for other in theirs)
    assert ranks.n_raw == 50


def test_kinds_that_differ_are_recovered_and_equal_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    raw = random_rows(rng, 1000, q)
    (apart,) = measure(sample_of(random_rows(rng, 60, p), raw), [PLAIN]) or []
    (same,) = measure(sample_of(random_rows(rng, 60, q), raw), [Candidate(Smoothing(raw_prior=1e4), "none")]) or []
    assert apart.auc > 0.99
    assert apart.recovery(0.02) > 0.9
    assert abs(same.auc - 0.5) < 0.15
    assert same.recovery(0.02) < 0.2


def test_copies_and_near_copies_share_a_fold() -> None:
    rng = np.random.default_rng(1)
    wide = np.asarray(rng.random((30, 1000)) < 0.2, np.int64)
    near = wide.copy()
    near[:, 0] += 1
    rows = np.concatenate([wide, near])
    places, buckets = np.nonzero(rows)
    starts = np.searchsorted(places, np.arange(len(rows) + 1)).astype(np.int64)
    sparse = SparseDocuments(
        rng.integers(0, 2**63, 60).astype(np.uint64),
        starts,
        buckets.astype(np.int32),
        rows[places, buckets].astype(np.int32),
    )
    groups = near_copies(sparse)
    assert np.array_equal(groups[:30], groups[30:])
    assert len(np.unique(groups)) == 30
    folds = folds_of(groups, sparse.order, FOLDS)
    assert np.array_equal(folds[:30], folds[30:])
    assert np.bincount(folds).tolist() == [12] * FOLDS


def test_long_documents_that_hold_nearly_all_buckets_are_no_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    rows = np.asarray(rng.poisson(4, (60, 1000)), np.int64)
    places, buckets = np.nonzero(rows)
    starts = np.searchsorted(places, np.arange(61)).astype(np.int64)
    order = rng.integers(0, 2**63, 60).astype(np.uint64)
    counts = rows[places, buckets].astype(np.int32)
    assert len(np.unique(near_copies(SparseDocuments(order, starts, buckets.astype(np.int32), counts)))) == 60


@given(st.permutations(range(20)), st.integers(2, 5))
def test_folds_do_not_depend_on_the_order_of_documents(places: list[int], n_folds: int) -> None:
    groups = np.array([i // 2 if i < 8 else i for i in range(20)], np.int32)
    order = np.random.default_rng(0).integers(0, 2**63, 20).astype(np.uint64)
    folds = folds_of(groups, order, n_folds)
    shuffled = folds_of(groups[places], order[places], n_folds)
    assert np.array_equal(folds[places], shuffled)


@pytest.mark.parametrize("n", [0, 1])
def test_a_target_of_fewer_than_two_documents_cannot_be_measured(n: int) -> None:
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    assert measure(sample_of(random_rows(rng, n, p), random_rows(rng, 10, q)), [PLAIN]) is None


def test_a_target_of_copies_of_one_document_cannot_be_measured() -> None:
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    copies = np.repeat(random_rows(rng, 1, p), 5, axis=0)
    assert measure(sample_of(copies, random_rows(rng, 10, q)), [PLAIN]) is None


@pytest.mark.parametrize("n", [2, 3])
def test_tiny_targets_have_as_many_folds_as_documents(n: int) -> None:
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    (ranks,) = measure(sample_of(random_rows(rng, n, p), random_rows(rng, 200, q)), [PLAIN]) or []
    assert len(ranks) == n


def test_hidden_documents_that_are_not_eligible_are_not_recovered() -> None:
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    target = np.concatenate([random_rows(rng, 10, p), random_rows(rng, 10, p, 5)])
    (ranks,) = measure(sample_of(target, random_rows(rng, 200, q), min_tokens=30), [PLAIN]) or []
    assert ranks.ineligible == 10
    assert ranks.recovery(1.0) <= 0.5
    assert measure(sample_of(target, random_rows(rng, 200, q, 20), min_tokens=30), [PLAIN]) is None


def test_chunks_with_ngrams_that_the_whole_documents_lack_are_measured() -> None:
    """Where a word is cut: the n-grams of a hidden chunk may be none of its whole document."""
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    sample = sample_of(random_rows(rng, 10, p), random_rows(rng, 200, q))
    counts = sample.target_counts.copy()
    counts[np.argmax(counts)] = 0
    with np.errstate(all="raise"):
        (ranks,) = measure(replace(sample, target_counts=counts), [PLAIN]) or []
    assert math.isfinite(ranks.auc)
    assert len(ranks) == 10


@given(st.lists(st.integers(1, 500), max_size=20), st.integers(1, 8))
def test_tokens_follow_from_the_number_of_ngrams(tokens: list[int], ngrams: int) -> None:
    totals = [sum(max(0, t - order) for order in range(ngrams)) for t in tokens]
    n = len(tokens)
    sparse = SparseDocuments(
        np.zeros(n, np.uint64), np.arange(n + 1), np.zeros(n, np.int32), np.array(totals, np.int32)
    )
    assert tokens_of(sparse, ngrams).tolist() == tokens
