"""Recovery in words: an upper bound is called one, and no advice goes beyond what the sample tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsir_core.report.recovery import (
    advice,
    all_advice,
    below_zero,
    likely_documents,
    positive_documents,
    sentence,
)
from dsir_core.report.verdict import overall, reasons, verdict
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recovery import CANDIDATES
from dsir_core.stages.recover import Measured
from dsir_core.stages.recovery_figures import recovery_figures


def figures(share: float, n_raw: int = 1000, hidden: int = 50) -> dict[str, Any]:
    """All hidden documents above all of the raw sample."""
    ranks = Ranks(np.zeros(hidden, np.int64), n_raw)
    found = Measured(CANDIDATES[:1], (ranks,), 0, share, eligible=1e6)
    return recovery_figures({"t": found})["t"]


def test_a_share_that_the_sample_tells_has_an_interval() -> None:
    assert sentence("t", figures(0.02)) == (
        "of the documents of t, hidden in raw, 100% (93% to 100%) would have been selected"
    )


@pytest.mark.parametrize("share", [0.0001, 0.0099])
def test_a_share_below_that_has_an_upper_bound(share: float) -> None:
    found = figures(share)
    assert "at most 100% would have been selected" in sentence("t", found)
    assert "below 1.0%" in sentence("t", found)
    assert (found["low"], found["resolution"]) == (0.0, 0.01)
    assert verdict(found) == "good"


def test_no_smaller_selection_is_advised_than_the_sample_tells() -> None:
    """The knee of this curve may be anywhere below 1 % of raw."""
    for share in (0.0005, 0.005, 0.01, 0.014):
        assert not [text for text in advice("t", figures(share)) if "select fewer" in text]
    assert [text for text in advice("t", figures(0.03)) if "select fewer" in text]


def test_the_size_that_recovers_enough_is_called_at_most_that_where_the_curve_begins_there() -> None:
    (text,) = advice("t", figures(0.0005))
    assert text == "t: at most 10,000 documents would recover 95%. More documents of other kinds then come with them"


@pytest.mark.parametrize(("copies", "in_target", "expected"), [(0, 0, "good"), (4, 5, "good"), (0, 60, "doubtful")])
def test_a_selection_of_copies_is_not_called_right(copies: int, in_target: int, expected: str) -> None:
    found = {"documents": 100, "copies": copies, "in_target": in_target}
    assert overall({"recovery": {"t": figures(0.01)}, "copies": found}) == expected
    assert overall({"recovery": {"t": figures(0.01)}}) == "good"


def test_a_selection_of_nothing_is_wrong() -> None:
    nothing = {"recovery": {"t": figures(0.01)}, "documents": {"selected": 0}}
    assert (overall(nothing), reasons(nothing)) == ("wrong", ["no document is selected"])
    assert overall({"recovery": {}, "documents": {"selected": 1}}) is None


@pytest.mark.parametrize(("positive", "expected"), [(5_000, "good"), (4_999, "doubtful")])
def test_a_selection_mostly_below_zero_is_not_called_right(positive: int, expected: str) -> None:
    found = report(0.01, 10_000)
    found["histograms"]["t"]["positive"]["selected"] = positive
    assert overall(found) == expected


def test_a_quota_of_a_stratum_that_raw_lacks_is_not_called_right() -> None:
    strata = {"a": {"eligible": 5, "quota": 10}, "b": {"eligible": 0, "quota": 0}, "typo": {"eligible": 0, "quota": 3}}
    found = {"recovery": {"t": figures(0.01)}, "strata": strata}
    assert overall(found) == "doubtful"
    del strata["typo"]
    assert overall(found) == "good"


@pytest.mark.parametrize(("low", "expected"), [(0.4, "good"), (0.39, "doubtful")])
def test_a_target_that_another_leaves_behind_is_told_with_the_way_out(low: float, expected: str) -> None:
    parts = {"a": {"documents": 50, "recovered": 0.8}, "b": {"documents": 50, "recovered": low}}
    found = figures(0.01) | {"targets": parts}
    assert overall({"recovery": {"pooled": found}}) == expected
    told = [text for text in advice("pooled", found) if "--match" in text]
    assert told == ([] if expected == "good" else [
        "pooled: 39% of b would have been selected and 80% of a, since they share one model: --match gives each "
        "target its share"
    ])  # fmt: skip


def report(share: float, positive: int, smoothing: str = "raw_prior=10000") -> dict[str, Any]:
    """Of a selection of some of a million documents, a thousand of which have a positive weight at most."""
    selected = round(share * 1e6)
    return {
        "recovery": {"t": figures(share)},
        "histograms": {
            "t": {"selected": [selected], "positive": {"raw": positive, "selected": min(selected, positive)}}
        },
        "fit": {"smoothing": {"t": smoothing}},
    }


def test_selected_documents_below_zero_are_told_with_what_raw_seems_to_hold() -> None:
    (text,) = below_zero(report(0.01, 8_100))
    assert text.startswith("t: 1,900 of 10,000 selected documents have a log weight of 0 or less")
    assert text.endswith("raw seems to hold about 8,100 documents like the target")
    (text,) = below_zero(report(0.02, 8_100))
    assert "11,900 of 20,000 selected documents" in text
    assert text.endswith("like raw than like the target")  # the advice says the rest
    assert list(below_zero(report(0.005, 8_100))) == []


def test_raw_holds_no_more_than_either_estimate_says() -> None:
    found = figures(0.02)
    assert likely_documents(found) == likely_documents(found, 50_000) == 10_000
    assert likely_documents(found, 8_100) == 8_100


def test_a_size_beyond_what_raw_seems_to_hold_is_doubtful() -> None:
    assert overall(report(0.012, 8_100)) == "good"
    assert overall(report(0.013, 8_100)) == "doubtful"
    (text,) = all_advice(report(0.013, 8_100))
    assert "raw seems to hold about 8,100 documents like the target" in text
    assert text.endswith("select fewer")
    assert "no document like the target" in next(all_advice(report(0.013, 0)))


def test_weights_without_a_raw_prior_give_no_size() -> None:
    unsmoothed = report(0.02, 8_100, "0")
    assert positive_documents(unsmoothed, "t") is None
    (text,) = below_zero(unsmoothed)
    assert "raw seems to hold" not in text
    assert positive_documents({}, "t") is None
    assert list(below_zero({"recovery": {"t": figures(0.02)}})) == []
