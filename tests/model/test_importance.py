"""Counts become the paper's log ratio; wrong counts are named."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.errors import RequestError
from dsir_core.model.classifier import Classifier
from dsir_core.model.importance import FittedModel, distribution, fit_model, log_ratio, selectors_of
from dsir_core.model.smoothing import Smoothing

COUNTS = st.lists(st.integers(0, 10**12), min_size=2, max_size=20).filter(any)


@given(COUNTS, st.sampled_from([0.0, 1.0, 0.1]))
def test_log_ratio_is_that_of_the_definition(counts: list[int], smoothing: float) -> None:
    target = np.array([counts])
    raw = np.array(counts[::-1])
    p = (target + smoothing) / (target.sum() + smoothing * len(counts))
    q = raw / raw.sum()
    expected = np.log(p + 1e-8) - np.log(q + 1e-8)
    assert np.allclose(log_ratio(target, raw, Smoothing(smoothing)), expected, rtol=1e-12, atol=1e-14)


def test_pooled_targets_are_one_target_of_all_their_documents() -> None:
    a, b, raw = np.array([1, 0, 3]), np.array([0, 2, 2]), np.array([5, 5, 5])
    pooled = fit_model({"a": a, "b": b}, raw)
    assert (pooled.selectors, pooled.proportions) == (("pooled",), (1.0,))
    assert pooled.log_ratio.tolist() == log_ratio((a + b)[None], raw).tolist()


def test_separate_targets_share_by_ngrams_unless_told() -> None:
    counts = {"a": np.array([1, 1]), "b": np.array([3, 3])}
    raw = np.array([1, 1])
    assert fit_model(counts, raw, separate=True).proportions == (0.25, 0.75)
    told = fit_model(counts, raw, separate=True, proportions={"b": 1, "a": 1})
    assert told.proportions == (0.5, 0.5)
    assert told.selectors == ("a", "b")


@pytest.mark.parametrize(("empty", "word"), [("target", "'a'"), ("raw", "raw")])
def test_counts_of_nothing_are_refused_by_name(empty: str, word: str) -> None:
    nothing, something = np.array([0, 0]), np.array([1, 0])
    target, raw = (nothing, something) if empty == "target" else (something, nothing)
    with pytest.raises(RequestError, match=word):
        fit_model({"a": target}, raw)


@pytest.mark.parametrize("classifies", [False, True])
def test_a_model_survives_its_file(classifies: bool) -> None:
    fitted = fit_model({"a": np.array([1, 2]), "\u6f22": np.array([0, 2])}, np.array([3, 4]), separate=True)
    classifier = Classifier(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 1.5]))
    model = replace(fitted, classifier=classifier) if classifies else fitted
    again = FittedModel.from_bytes(model.to_bytes())
    assert again.digest == model.digest
    assert (model.digest == fitted.digest) != classifies
    assert again.selectors == model.selectors
    np.testing.assert_array_equal(again.log_ratio, model.log_ratio)
    rows = [fitted.log_ratio, classifier.coefficients] if classifies else [fitted.log_ratio]
    np.testing.assert_array_equal(again.table, np.concatenate(rows))
    assert (again.classifier is not None) == classifies


def test_the_digest_is_that_of_names_and_numbers() -> None:
    model = FittedModel(("a",), (1.0,), np.array([[1.0, 2.0]]), Classifier(np.array([[3.0, 4.0]]), np.array([5.0])))
    numbers = np.array([1, 2, 3, 4, 5], "<f8").tobytes()
    assert model.digest == hashlib.sha256(b'{"names":["a"]}' + numbers).hexdigest()


def test_a_file_of_objects_is_no_model() -> None:
    stream = io.BytesIO()
    np.savez(stream, names=np.array([{}], object), log_ratio=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        FittedModel.from_bytes(stream.getvalue())


def test_one_target_selects_by_its_name_and_one_ngram_is_enough() -> None:
    model = fit_model({"a": np.array([1, 0])}, np.array([1, 0]))
    assert (model.selectors, model.log_ratio.shape) == (("a",), (1, 2))
    assert selectors_of(("a",), False) == selectors_of(("a",), True) == ("a",)
    assert (selectors_of(("a", "b"), False), selectors_of(("a", "b"), True)) == (("pooled",), ("a", "b"))


def test_each_separate_target_has_smoothing_of_its_own() -> None:
    counts, raw = {"a": np.array([1, 3]), "b": np.array([1, 3])}, np.array([5, 5])
    model = fit_model(counts, raw, separate=True, smoothing={"a": Smoothing(), "b": Smoothing(laplace=1)})
    assert model.log_ratio.tolist() == [
        log_ratio(counts["a"], raw).tolist(),
        log_ratio(counts["b"], raw, Smoothing(laplace=1)).tolist(),
    ]


def test_models_of_one_digest_have_the_same_bytes() -> None:
    counts, raw = {"a": np.array([1, 2]), "b": np.array([0, 2])}, np.array([3, 4])
    one, other = (
        fit_model(counts, raw, separate=True, proportions={"a": share, "b": 1 - share}) for share in (0.5, 0.9)
    )
    assert one.proportions != other.proportions
    assert (one.digest, one.to_bytes()) == (other.digest, other.to_bytes())


def test_distribution_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="zero"):
        distribution(np.zeros(3, np.int64))
