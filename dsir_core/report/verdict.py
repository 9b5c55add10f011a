"""Whether a selection is likely to be what was asked for, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from dsir_core.report.recovery import FEW_DOCUMENTS, NO_DIFFERENCE, below, is_beyond, left_behind, positive_documents

Verdict = Literal["good", "doubtful", "wrong"]

SENTENCES: Mapping[Verdict, str] = {
    "good": "Nothing found speaks against this selection.",
    "doubtful": "Look at the selection before you use it.",
    "wrong": "The selection is probably not what was asked for.",
}

CLEAR = 0.8
"""AUC from which on they are told apart well."""

LIFT = 2.0
"""A selection that recovers less than so many times what a random one does is no selection."""

MANY_COPIES = 0.1
"""Share of copies in a selection, from which on it is not called right."""


def verdict(found: Mapping[str, Any], positive: int | None = None) -> Verdict:
    """Whether the selection is likely to be what was asked for.

    Args:
        found: of `recovery` in report.json.
        positive: see `likely_documents`.
    """
    auc, recovered, share = found["auc"], found["recovered"], found["share"]
    at = max(share, found.get("resolution", 0.0))
    if auc < NO_DIFFERENCE or (at < 1 / LIFT and recovered < LIFT * at):
        return "wrong"
    if auc < CLEAR or found["documents"] < FEW_DOCUMENTS or is_beyond(found, positive):
        return "doubtful"
    return "good"


def overall(figures: Mapping[str, Any]) -> Verdict | None:
    """The verdict on a selection: the worst of its targets' and of what else speaks against it.

    None where no recovery was measured, and nothing speaks against it.

    Args:
        figures: the content of report.json.
    """
    order: list[Verdict] = ["wrong", "doubtful", "good"]
    recovery = figures.get("recovery", {})
    verdicts = {verdict(each, positive_documents(figures, name)) for name, each in recovery.items()}
    verdicts |= set(_against(figures))
    return next((one for one in order if one in verdicts), None)


def reasons(figures: Mapping[str, Any]) -> list[str]:
    """What speaks against a selection and is no advice, in words.

    Args:
        figures: the content of report.json.
    """
    return ["no document is selected"] if _is_empty(figures) else []


def _is_empty(figures: Mapping[str, Any]) -> bool:
    return bool(figures.get("documents", {}).get("selected") == 0)


def _against(figures: Mapping[str, Any]) -> Iterator[Verdict]:
    """What speaks against a selection, beside a low recovery; `reasons`, a figure, advice or a note says it."""
    if _is_empty(figures):
        yield "wrong"
    copies = figures.get("copies", {"documents": 0, "copies": 0, "in_target": 0})
    if copies["copies"] + copies["in_target"] > MANY_COPIES * copies["documents"]:
        yield "doubtful"
    for name, found in figures.get("recovery", {}).items():
        if left_behind(found):
            yield "doubtful"
        histogram = figures.get("histograms", {}).get(name, {"selected": []})
        if 2 * below(histogram) > sum(histogram["selected"]):
            yield "doubtful"
    if any(found.get("quota") and not found["eligible"] for found in figures.get("strata", {}).values()):
        yield "doubtful"
