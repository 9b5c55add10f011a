"""Held-out recovery in words: the headline, a verdict on the selection, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Verdict = Literal["good", "doubtful", "wrong"]

NO_DIFFERENCE = 0.6
"""AUC up to which target and raw look the same to the model."""

CLEAR = 0.8
"""AUC from which on they are told apart well."""

FEW_DOCUMENTS = 20
"""A target with fewer says little about its own recovery: the interval is wider than half of its range."""

LIFT = 2.0
"""A selection that recovers less than so many times what a random one does is no selection."""

MANY_COPIES = 0.1
"""Share of copies in a selection, from which on it is not called right."""

MANY_OUTLIERS = 0.2
"""With a larger share of outliers the target is mixed, and they are none."""

BEYOND = 1.5
"""A size this many times the knee of the curve asks for more than raw seems to hold."""


def sentence(name: str, found: Mapping[str, Any]) -> str:
    """The recovery of one target in a sentence.

    Args:
        found: of `recovery` in report.json.
    """
    hidden = f"of the documents of {name}, hidden in raw,"
    if not is_resolved(found):
        return (
            f"{hidden} at most {found['high']:.0%} would have been selected; the sample of raw tells no more of a "
            f"share below {found['resolution']:.1%}"
        )
    return f"{hidden} {found['recovered']:.0%} ({found['low']:.0%} to {found['high']:.0%}) would have been selected"


def is_resolved(found: Mapping[str, Any]) -> bool:
    """Whether the sample of raw is large enough for the share that is selected; else recovery is an upper bound."""
    return bool(found["share"] >= found.get("resolution", 0.0))


def verdict(found: Mapping[str, Any]) -> Verdict:
    """Whether the selection is likely to be what was asked for."""
    auc, recovered, share = found["auc"], found["recovered"], found["share"]
    at = max(share, found.get("resolution", 0.0))
    if auc < NO_DIFFERENCE or (at < 1 / LIFT and recovered < LIFT * at):
        return "wrong"
    if auc < CLEAR or found["documents"] < FEW_DOCUMENTS or share > BEYOND * found["knee"]:
        return "doubtful"
    return "good"


def worst(recovery: Mapping[str, Mapping[str, Any]]) -> Verdict | None:
    """The verdict on a selection for several targets; None where nothing was measured."""
    order: list[Verdict] = ["wrong", "doubtful", "good"]
    found = {verdict(one) for one in recovery.values()}
    return next((one for one in order if one in found), None)


def overall(figures: Mapping[str, Any]) -> Verdict | None:
    """The verdict on a selection: that of its recovery, and no better than doubtful where much of it are copies.

    Args:
        figures: the content of report.json.
    """
    found = worst(figures.get("recovery", {}))
    copies = figures.get("copies", {"documents": 0, "copies": 0, "in_target": 0})
    if found == "good" and copies["copies"] + copies["in_target"] > MANY_COPIES * copies["documents"]:
        return "doubtful"
    return found


def advice(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """What the recovery of one target says about the request, and what to try."""
    auc, eligible = found["auc"], found["eligible"]
    if auc < NO_DIFFERENCE:
        yield (
            f"{name}: the model cannot tell the target from raw (AUC {auc:.2f}; 0.5 is chance). Raw looks like the "
            f"target everywhere, or was filtered for it already, or the target is too mixed: a selection will be "
            f"close to a random one"
        )
        return
    if found["documents"] < FEW_DOCUMENTS:
        yield f"{name}: {found['documents']:,} target documents are too few for a precise figure; add some if you can"
    if found["ineligible"]:
        yield (
            f"{name}: {found['ineligible']:,} of {found['documents']:,} target documents have too few tokens to be "
            f"eligible in raw, and count as not recovered"
        )
    outliers = found.get("outliers", {"documents": 0, "first": []})
    if 0 < outliers["documents"] <= MANY_OUTLIERS * found["documents"] and outliers["first"]:
        first = outliers["first"][0]
        yield (
            f"{name}: {outliers['documents']:,} of {found['documents']:,} target documents look less like the others "
            f"than half of raw does, first {first['file']} at {first['position']:,}: are they meant?"
        )
    if found["share"] > BEYOND * found["knee"]:
        yield (
            f"{name}: recovery hardly grows beyond about {_documents(found['knee'] * eligible)} documents; what is "
            f"selected beyond that is likely to be of another kind: select fewer"
        )
    elif found["enough"] is not None and found["share"] < found["enough"]:
        # The first point of the curve is as far down as the sample tells.
        about = "at most" if found["enough"] <= found["curve"][0][0] else "about"
        twice = f"; twice the present size recovers {found['twice']:.0%}" if is_resolved(found) else ""
        yield f"{name}: {about} {_documents(found['enough'] * eligible)} documents would recover 95 %{twice}"


def _documents(n: float) -> str:
    """Two significant digits: the curve is an estimate."""
    return f"{float(f'{max(n, 1):.2g}'):,.0f}"
