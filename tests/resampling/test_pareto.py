"""Heuristic classification: the noise, the keys, the sample that is fitted on, the fit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.classifier import Classifier, fit_classifier, ngrams_of_tokens
from dsir_core.model.compact_sample import BottomKSample, Bound, SparseDocuments
from dsir_core.model.importance import FittedModel
from dsir_core.model.logistic import probability
from dsir_core.model.noise import exp_exact, uniform
from dsir_core.resampling.pareto import PARETO_SHAPE, keep_probability, pareto_keys

BUCKETS = 12


@given(st.lists(st.floats(-700, 700), min_size=1))
def test_exp_is_right_to_the_last_place(values: list[float]) -> None:
    found, expected = exp_exact(np.array(values)), [math.exp(value) for value in values]
    assert all(abs(a - b) <= math.ulp(b) for a, b in zip(found.tolist(), expected, strict=True))


def test_exp_gives_these_bits() -> None:
    """On every machine."""
    found = exp_exact(np.array([-1.0, 0.1, 1.0, 37.5]))
    assert [value.hex() for value in found.tolist()] == [
        "0x1.78b56362cef38p-2",
        "0x1.1aec7b35a00d4p+0",
        "0x1.5bf0a8b14576ap+1",
        "0x1.1293919c201e5p+54",
    ]


def test_noise_keeps_as_often_as_the_rule_that_it_stands_for() -> None:
    """`np.random.pareto(9) > 1 - score`, as GPT-3's authors and the paper's code have it."""
    random = np.random.default_rng(0)
    for log_odds in (-4.0, -1.0, 0.0, 1.0, 4.0):
        score = float(probability(np.array([log_odds]))[0])
        assert score == pytest.approx(1 / (1 + math.exp(-log_odds)), rel=1e-14)
        n = 400_000
        kept = (random.pareto(PARETO_SHAPE, n) > 1 - score).mean()
        expected = float(keep_probability(np.array([log_odds]))[0])
        assert abs(kept - expected) < 5 * math.sqrt(expected * (1 - expected) / n)
        keys = pareto_keys(np.full(n, log_odds), random.random(n), random.random(n))
        assert abs((keys > 0).mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / n)


@given(
    st.lists(
        st.tuples(st.floats(-50, 50), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=30
    )
)
def test_a_key_tells_the_round_in_which_a_document_is_kept(documents: list[tuple[float, int, int]]) -> None:
    log_odds = np.array([one[0] for one in documents])
    noise, order = (uniform(np.array([one[i] for one in documents], np.uint64)) for i in (1, 2))
    keys = pareto_keys(log_odds, noise, order)
    for key, u, v, odds in zip(keys, noise, order, log_odds, strict=True):
        lost, before = 1 - float(keep_probability(np.array([odds]))[0]), 0
        while u <= lost ** (before + 1) * (1 - 1e-12):
            before += 1
        assert key == pytest.approx(v - before, abs=1e-9) or u == pytest.approx(lost ** (before + 1), rel=1e-9)
    assert np.isfinite(pareto_keys(np.array([-1e300, 1e300]), noise[:1].repeat(2), order[:1].repeat(2))).all()


def test_documents_that_are_surely_of_the_target_are_kept_first() -> None:
    random = np.random.default_rng(1)
    log_odds = np.array([50.0] * 10 + [-50.0] * 1000)
    keys = pareto_keys(log_odds, random.random(1010), random.random(1010))
    assert (keys[:10] > 0).all()
    assert 1 / 512 * 1000 * 0.1 < (keys[10:] > 0).sum() < 1 / 512 * 1000 * 5


DOCUMENTS = st.lists(
    st.tuples(st.integers(0, 20), st.lists(st.integers(0, BUCKETS - 1), min_size=1, max_size=8)), max_size=25
)


def document(order: int, ngrams: list[int]) -> SparseDocuments:
    buckets, counts = np.unique(np.array(ngrams, np.int32), return_counts=True)
    starts = np.array([0, len(buckets)])
    return SparseDocuments(np.array([order], np.uint64), starts, buckets, counts.astype(np.int32))


def sparse(documents: list[tuple[int, list[int]]]) -> SparseDocuments:
    gathering = BottomKSample(Bound(10**6, 10**6))
    for one in documents:
        gathering.extend(document(*one))
    return gathering.found()


@given(DOCUMENTS, st.lists(st.integers(0, 25)), st.integers(1, 6), st.integers(1, 12))
def test_a_sample_does_not_depend_on_how_documents_are_parted(
    documents: list[tuple[int, list[int]]], edges: list[int], most: int, entries: int
) -> None:
    bound = Bound(most, entries)
    ordered = sorted(documents, key=lambda one: one[0])
    expected: list[tuple[int, list[int]]] = []
    for one in ordered[:most]:
        held = sum(len(set(ngrams)) for _, ngrams in [*expected, one])
        if held > entries and expected:
            break
        expected.append(one)
        if held > entries:
            break
    whole = BottomKSample(bound)
    cuts = sorted({0, *(edge for edge in edges if edge < len(documents)), len(documents)})
    for start, stop in itertools.pairwise(cuts):
        part = BottomKSample(bound)
        for order, ngrams in documents[start:stop]:
            if np.uint64(order) < part.limit:
                part.extend(document(order, ngrams))
        whole.extend(SparseDocuments.from_bytes(part.found().to_bytes()))
    found = whole.found()
    found = found.smallest(bound) if len(found) else found
    dense = [np.bincount(ngrams, minlength=BUCKETS).tolist() for _, ngrams in expected]
    assert found.order.tolist() == [order for order, _ in expected]
    if dense:
        assert np.array_equal(found.matrix(BUCKETS).toarray(), np.array(dense))
        assert found.totals().tolist() == np.array(dense).sum(axis=1).tolist()


def test_the_fit_is_scikit_learns_on_the_shares_of_ngrams() -> None:
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(5)
    target = [(i, random.choice(BUCKETS, 30, p=np.arange(1, 13) / 78).tolist()) for i in range(40)]
    raw = [(i, random.choice(BUCKETS, 30).tolist()) for i in range(170)]
    model = fit_classifier(sparse(target), sparse(raw), BUCKETS)
    dense = np.array([np.bincount(ngrams, minlength=BUCKETS) / len(ngrams) for _, ngrams in [*target, *raw]])
    length = np.sqrt((dense**2).sum() / len(dense))
    is_target = np.arange(210) < 40
    expected = LogisticRegression(class_weight={True: 210 / 80, False: 210 / 340}, solver="newton-cholesky", tol=1e-12)
    expected.fit(dense / length, is_target)
    assert np.allclose(model.coefficients, expected.coef_ / length, atol=1e-6)
    sums, n_tokens = dense @ model.coefficients.T * 30, np.full(210, 30, np.int32)
    log_odds = model.log_odds(sums, n_tokens, 1)
    assert np.allclose(log_odds[:, 0], expected.decision_function(dense / length), atol=1e-6)
    assert log_odds[:40].mean() > 0 > log_odds[40:].mean()


def test_a_document_has_so_many_ngrams() -> None:
    assert ngrams_of_tokens(np.array([0, 1, 2, 5], np.int32), 3).tolist() == [0, 1, 3, 12]


def test_a_classifier_is_part_of_the_model_and_its_digest() -> None:
    bare = FittedModel(("a",), (1.0,), np.ones((1, 3)))
    model = FittedModel(("a",), (1.0,), np.ones((1, 3)), Classifier(np.full((1, 3), 2.0), np.array([0.5])))
    again = FittedModel.from_bytes(model.to_bytes())
    assert again.digest == model.digest != bare.digest
    assert again.classifier is not None
    assert again.table.tolist() == [[1, 1, 1], [2, 2, 2]]
    assert FittedModel.from_bytes(bare.to_bytes()).classifier is None


def test_there_must_be_documents_to_fit_on() -> None:
    with pytest.raises(ValueError, match="documents of target and of raw"):
        fit_classifier(sparse([]), sparse([(1, [1])]), BUCKETS)
