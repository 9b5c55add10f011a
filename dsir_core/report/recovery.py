"""Held-out recovery in words: the headline, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsir_core.model.importance import POOLED
from dsir_core.report.advice import advise
from dsir_core.report.formatting import counted

NO_DIFFERENCE = 0.6
"""AUC up to which target and raw look the same to the model."""

FEW_DOCUMENTS = 20
"""A target with fewer says little about its own recovery: the interval is wider than half of its range."""

UNEVEN = 0.5
"""A pooled target that is recovered less than this share of another is left behind."""

MANY_OUTLIERS = 0.2
"""With a larger share of outliers the target is mixed, and they are none."""

BEYOND = 1.5
"""A size this many times what raw seems to hold asks for more than there is."""


def sentence(name: str, found: Mapping[str, Any]) -> str:
    """The recovery of one target in a sentence.

    Args:
        found: of `recovery` in report.json.
    """
    whose = "all targets together" if name == POOLED else name
    hidden = f"of the documents of {whose}, hidden in raw,"
    if not is_resolved(found):
        return (
            f"{hidden} at most {found['high']:.0%} would have been selected; the sample of raw tells no more of a "
            f"share below {found['resolution']:.1%}"
        )
    return f"{hidden} {found['recovered']:.0%} ({found['low']:.0%} to {found['high']:.0%}) would have been selected"


def is_resolved(found: Mapping[str, Any]) -> bool:
    """Whether the sample of raw is large enough for the share that is selected; else recovery is an upper bound."""
    return bool(found["share"] >= found.get("resolution", 0.0))


def likely_documents(found: Mapping[str, Any], positive: int | None = None) -> float:
    """About how many documents of raw look like the target: the smaller of two estimates.

    Args:
        found: of `recovery` in report.json; gives the knee of its curve.
        positive: documents with a log weight above 0; None where that is not known or means nothing.
    """
    knee: float = found["knee"] * found["eligible"]
    return knee if positive is None else min(knee, float(positive))


def positive_documents(figures: Mapping[str, Any], name: str) -> int | None:
    """Eligible documents whose log weight for a target is above 0.

    None where it is not known, or where it is not measured that this number says how many documents are like the
    target: without a raw prior, n-grams that the target lacks make weights negative.

    Args:
        figures: the content of report.json.
        name: of the target.
    """
    counts = figures.get("histograms", {}).get(name, {}).get("positive")
    smoothing = figures.get("fit", {}).get("smoothing", {}).get(name, "")
    return int(counts["raw"]) if counts is not None and smoothing.startswith("raw_prior") else None


def below(histogram: Mapping[str, Any]) -> int:
    """Selected documents with a log weight of 0 or less.

    Args:
        histogram: of a target, in report.json.
    """
    return sum(histogram["selected"]) - int(histogram["positive"]["selected"]) if "positive" in histogram else 0


def below_zero(figures: Mapping[str, Any]) -> Iterator[str]:
    """How many selected documents the model takes for raw rather than target, in words, by target.

    Args:
        figures: the content of report.json.
    """
    for name, found in figures.get("recovery", {}).items():
        histogram = figures.get("histograms", {}).get(name, {})
        if n := below(histogram):
            selected, positive = sum(histogram["selected"]), positive_documents(figures, name)
            # Where too much is asked for, the advice to select fewer says it.
            hint = "" if positive is None or is_beyond(found, positive) else f"; {_holds(found, positive)}"
            yield (
                f"{name}: {n:,} of {counted(selected, 'selected document')} have a log weight of 0 or less: to the "
                f"model they look more like raw than like the target{hint}"
            )


def all_advice(figures: Mapping[str, Any]) -> Iterator[str]:
    """What a finished selection says about the request, and what to try.

    Args:
        figures: the content of report.json.
    """
    for name, found in figures.get("recovery", {}).items():
        yield from advice(name, found, positive_documents(figures, name))


def advice(name: str, found: Mapping[str, Any], positive: int | None = None) -> Iterator[str]:
    """What the recovery of one target says about the request, and what to try.

    Args:
        name: of the target.
        found: of `recovery` in report.json.
        positive: see `likely_documents`.
    """
    auc, eligible = found["auc"], found["eligible"]
    if auc < NO_DIFFERENCE:
        yield (
            f"{name}: the model cannot tell the target from raw (AUC {auc:.2f}; 0.5 is chance). Raw looks like the "
            f"target everywhere, or was filtered for it already, or the target is too mixed: a selection will be "
            f"close to a random one"
        )
        return
    if found["documents"] < FEW_DOCUMENTS:
        yield advise("target-size", target=name, documents=counted(found["documents"], "document"))
    if found["ineligible"]:
        yield (
            f"{name}: too few tokens to be eligible in raw, and so counted as not recovered: "
            f"{found['ineligible']:,} of {counted(found['documents'], 'target document')}"
        )
    if left := left_behind(found):
        least, most = left
        low, high = (found["targets"][one]["recovered"] for one in left)
        yield advise("match", pooled=name, least=least, low=low, most=most, high=high)
    outliers = found.get("outliers", {"documents": 0, "first": []})
    if 0 < outliers["documents"] <= MANY_OUTLIERS * found["documents"] and outliers["first"]:
        first = outliers["first"][0]
        yield advise(
            "outliers",
            target=name,
            outliers=outliers["documents"],
            documents=found["documents"],
            file=first["file"],
            position=first["position"],
        )
    if is_beyond(found, positive):
        yield advise("fewer", target=name, holds=_holds(found, positive))
    elif _is_short(found, positive):
        # The first point of the curve is as far down as the sample tells.
        about = "at most" if found["enough"] <= found["curve"][0][0] else "about"
        twice = f"; twice the present size recovers {found['twice']:.0%}" if is_resolved(found) else ""
        yield advise("more", target=name, about=about, enough=_documents(found["enough"] * eligible), twice=twice)


def left_behind(found: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of several pooled targets the least and the most recovered one, where they are far apart.

    Args:
        found: of `recovery` in report.json.
    """
    parts = found.get("targets")
    if not parts:
        return None
    least, most = (pick(parts, key=lambda one: (parts[one]["recovered"], one)) for pick in (min, max))
    return (least, most) if parts[least]["recovered"] < UNEVEN * parts[most]["recovered"] else None


def _holds(found: Mapping[str, Any], positive: int | None) -> str:
    n = likely_documents(found, positive)
    return f"raw seems to hold {f'about {_documents(n)}' if n >= 1 else 'no document'} like the target"


def is_beyond(found: Mapping[str, Any], positive: int | None) -> bool:
    """Whether the selection is far larger than what raw seems to hold.

    Args:
        found: of `recovery` in report.json.
        positive: see `likely_documents`.
    """
    return bool(found["share"] * found["eligible"] > BEYOND * likely_documents(found, positive))


def _is_short(found: Mapping[str, Any], positive: int | None) -> bool:
    """Whether a larger selection would recover enough, and not ask for more than there is.

    Of few hidden documents, enough is all of them, and the last of them may be anywhere.
    """
    enough = found["enough"]
    if enough is None or found["share"] >= enough or found["documents"] < FEW_DOCUMENTS:
        return False
    return bool(enough * found["eligible"] <= BEYOND * likely_documents(found, positive))


def _documents(n: float) -> str:
    """A number of documents in two significant digits: the curve is an estimate."""
    return counted(round(float(f"{max(n, 1):.2g}")), "document")
