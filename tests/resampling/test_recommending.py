"""Which method a comparison recommends: the best one, a usual one among equals, none where none beats chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dsir_core.config.methods import METHODS
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recommending import recommend_by_precision, recommend_by_recovery, recovery_by_method


def finds(n: int, of: int = 100, first: int = 0) -> npt.NDArray[np.bool_]:
    """n of some hidden documents."""
    places = np.arange(of)
    return np.asarray((places >= first) & (places < first + n))


def test_the_method_that_finds_most_is_recommended() -> None:
    found = {"random": finds(3), "top-k": finds(60), "importance": finds(70)}
    recommendation = recommend_by_recovery(found, is_bound=False)
    assert (recommendation["method"], recommendation["equal"]) == ("importance", ["importance"])
    assert recommendation["reason"] == "70% of 100 hidden target documents recovered; less: top-k 60%, random 3%"


def test_of_methods_that_differ_by_chance_the_default_is_recommended_and_the_others_are_named() -> None:
    found = {"random": finds(3), "heuristic-top-k": finds(71, first=5), "top-k": finds(70), "importance": finds(70)}
    recommendation = recommend_by_recovery(found, is_bound=False)
    assert recommendation["method"] == "importance"
    assert recommendation["equal"] == ["importance", "top-k", "heuristic-top-k"]
    assert recommendation["reason"] == (
        "no clear winner: the highest is heuristic-top-k, 71% of 100 hidden target documents recovered; "
        "lower, but within the error: importance 70%, top-k 70%; less: random 3%"
    )


def test_the_methods_that_are_as_good_as_the_highest_are_named_after_it() -> None:
    found = {"random": finds(3), "heuristic-top-k": finds(69, first=5), "top-k": finds(70), "importance": finds(70)}
    assert recommend_by_recovery(found, is_bound=False)["reason"] == (
        "70% of 100 hidden target documents recovered; as good within the error: top-k 70%, heuristic-top-k 69%; "
        "less: random 3%"
    )


def test_another_method_is_recommended_where_it_finds_clearly_more() -> None:
    found = {"random": finds(3), "heuristic-top-k": finds(90), "importance": finds(70)}
    assert recommend_by_recovery(found, is_bound=False)["method"] == "heuristic-top-k"


@pytest.mark.parametrize(
    ("hidden", "alone", "default_alone", "recommended"),
    [
        (60, 13, 5, "heuristic-top-k"),
        (60, 11, 9, "importance"),
        (60, 5, 0, "heuristic-top-k"),
        (10, 5, 1, "importance"),
        (10, 3, 0, "importance"),
    ],
)
def test_a_difference_is_judged_by_the_documents_that_one_method_alone_finds(
    hidden: int, alone: int, default_alone: int, recommended: str
) -> None:
    both = finds(hidden // 3, hidden)
    found = {
        "random": finds(0, hidden),
        "heuristic-top-k": both | finds(alone, hidden, hidden // 3),
        "importance": both | finds(default_alone, hidden, hidden // 3 + alone),
    }
    assert recommend_by_recovery(found, is_bound=False)["method"] == recommended


def test_no_method_is_recommended_that_finds_no_more_than_chance() -> None:
    found = {"random": finds(10), "importance": finds(11, first=3), "top-k": finds(9)}
    recommendation = recommend_by_recovery(found, is_bound=False)
    assert recommendation["method"] is None
    assert "random selection" in recommendation["reason"]
    assert recommend_by_recovery({}, is_bound=False)["method"] is None


def test_a_bound_is_said_to_be_one() -> None:
    found = {"random": finds(3), "importance": finds(70)}
    assert "smallest size" in recommend_by_recovery(found, is_bound=True)["reason"]


def test_labels_decide_by_precision_within_its_error() -> None:
    precision = {"random": 0.03, "heuristic": 0.6, "top-k": 0.95, "importance": 0.94}
    recommendation = recommend_by_precision(precision, dict.fromkeys(precision, 70))
    assert (recommendation["method"], recommendation["by"]) == ("importance", "precision")
    assert recommendation["equal"] == ["importance", "top-k"]
    assert recommend_by_precision(precision, dict.fromkeys(precision, 10_000))["method"] == "top-k"


def test_hidden_documents_of_all_targets_count_each_at_its_share() -> None:
    above = np.array([0, 100, 400, 1000], np.int64)  # twice the raw documents above
    ranks = [Ranks(above, 500) for _ in METHODS]
    found = recovery_by_method({"a": ranks, "b": ranks}, {"a": 0.11, "b": 0.5})
    assert found["importance"].tolist() == [True, True, False, False, True, True, True, False]
    assert recovery_by_method({}, {}) == {}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_recommended(method: str) -> None:
    found = {name: finds(90 if name == method else 5) for name in METHODS if name == method or name == "random"}
    expected = None if method == "random" else method
    assert recommend_by_recovery(found, is_bound=False)["method"] == expected
