"""An explained document, and where it stands in a finished selection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dsir_core.report.explained import Explanation, explanation_fragment
from dsir_core.report.formatting import decimal
from dsir_core.resampling.overview import ranks_of
from dsir_core.shards.selection_list import ChosenDocument

POWERS = {"none": 0.0, "sqrt": 0.5, "tokens": 1.0}
"""Of a document's length, by which a log weight is divided."""


@dataclass(frozen=True)
class Standing:
    """A document's log weight among those of a selection's eligible documents, for one target."""

    log_weight: float
    threshold: float | None
    """About what log weight a document of its length was selected with; None where there is no one such weight."""
    ranks: tuple[int, int] | None
    """First and last possible rank by log weight (for its length) among the eligible documents, from 1; None where the
    report does not hold the distribution."""
    eligible: int
    """Eligible documents."""
    too_short: bool
    """Whether it has too few tokens to be eligible."""

    def sentence(self, target: str) -> str:
        """In words."""
        parts = [f"log weight for {target}: {decimal(self.log_weight)}"]
        if self.threshold is not None:
            distance = self.log_weight - self.threshold
            side = "above" if distance >= 0 else "below"
            parts.append(
                f"{decimal(abs(distance))} {side} the threshold of about {decimal(self.threshold)} for its length"
            )
        if self.ranks is not None:
            first, last = self.ranks
            rank = f"rank {first:,}" if first == last else f"rank {first:,} to {last:,}"
            parts.append(f"{rank} of {self.eligible:,} eligible documents")
        return ", ".join(parts)


@dataclass(frozen=True)
class ExplainedDocument:
    """A document's log weight under each target of a selection."""

    title: str
    by_target: Mapping[str, Explanation]
    standings: Mapping[str, Standing]
    """By target."""
    has_scores: bool
    """Whether the selection's weights hold scores from elsewhere: what is explained is then the n-grams' part."""
    chosen: ChosenDocument | None = None
    """How the selection holds the document; None for a text that is given by hand."""

    @property
    def best(self) -> Explanation:
        """The explanation for the target that the document weighs most for."""
        return max(self.by_target.values(), key=lambda one: one.log_weight)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """About what log weight was selected, by target; without the targets for which there is no one such weight."""
        return {name: one.threshold for name, one in self.standings.items() if one.threshold is not None}

    def facts(self) -> Iterator[str]:
        """Whether the document was selected, and where it stands, in words."""
        if self.chosen is not None:
            yield self.chosen.sentence()
        if any(one.too_short for one in self.standings.values()):
            yield "not eligible: it has too few tokens"
        for target, one in self.standings.items():
            yield one.sentence(target)
        if self.has_scores:
            yield "the run's weights also hold scores from elsewhere: this is the part of the n-grams"

    def _repr_html_(self) -> str:
        """The best explanation, as a notebook shows it."""
        return explanation_fragment(self.best, list(self.facts()))


def standing(report: Mapping[str, Any], target: str, log_weight: float, n_tokens: int) -> Standing:
    """Where a log weight stands among those of a finished selection.

    Args:
        report: the content of report.json.
    """
    histogram = report.get("histograms", {}).get(target)
    factor = _length_factor(report, target, n_tokens)
    threshold = ranks = None
    if histogram is not None:
        if len(histogram["thresholds"]) == 1:
            threshold = histogram["thresholds"][0] * factor
        ranks = ranks_of(log_weight / factor, histogram["raw"], histogram["low"], histogram["high"])
    too_short = n_tokens < report["config"]["min_tokens"]
    return Standing(log_weight, threshold, ranks, report["documents"]["eligible"], too_short)


def _length_factor(report: Mapping[str, Any], target: str, n_tokens: int) -> float:
    """A document's log weight as a multiple of its normalised one, by which it was selected."""
    fit = report["fit"]
    if "typical_tokens" not in fit:  # a report of an earlier version, without length normalisation by default
        return 1.0
    power = POWERS[fit["length_normalise"][target]]
    factor: float = (max(1, n_tokens) / fit["typical_tokens"][target]) ** power
    return factor
