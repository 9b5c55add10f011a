"""A tally of a shard's documents for the report, made while they are selected.

Histograms over bins that all shards share, counts by length and by file, and a few documents by name: whatever the
shards, the merged view is the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dsir_core.resampling.candidates import N_CANDIDATES, Candidate, Kind, candidates
from dsir_core.resampling.keys import Cut, View
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import Rows

BINS = 120
"""Of a histogram; one more on each side takes what lies outside."""

LENGTHS = 32
"""Bins by the number of binary digits of a document's tokens: 0, 1, 2-3, 4-7, ..."""

Counts: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """The bins of one target's log weights (divided by length where the run asks for it)."""

    target: str
    column: str
    spread: WeightScaling
    low: float
    high: float

    def counts(self, rows: Rows, which: npt.NDArray[np.bool_]) -> Counts:
        """int64[BINS + 2]: documents of bool[n] by bin; the first and the last bin hold what lies outside."""
        return self.count(rows.log_weights[self.column][which], rows.n_tokens[which])

    def count(self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]) -> Counts:
        """int64[BINS + 2] of float64[n] log weights of documents with int32[n] tokens."""
        plain = self.spread.normalised(log_weights, n_tokens)
        # In halves, since the difference of two numbers may be too large for a float64.
        half = self.low / 2
        with np.errstate(over="ignore"):
            places = np.clip((plain / 2 - half) / (self.high / 2 - half) * BINS + 1, 0, BINS + 1)
        counts = np.bincount(places.astype(np.int64), minlength=BINS + 2)
        # The largest value, and what rounds to it, belongs to the last bin inside.
        at_end = np.count_nonzero((plain <= self.high) & (places >= BINS + 1))
        counts[-2:] += at_end, -at_end
        return counts

    @classmethod
    def over(
        cls,
        target: str,
        column: str,
        spread: WeightScaling,
        quantiles: Mapping[str, float],
        of_target: npt.NDArray[np.float64],
    ) -> Scale:
        """The range without long tails, which would squeeze everything else together.

        All of raw above its 5 % quantile, and the target between its 5 % and its 95 % quantile.

        Args:
            quantiles: of raw.
            of_target: float64[n], those of some of the target's documents.
        """
        ends = np.quantile(of_target, (0.05, 0.95)).tolist() if len(of_target) else []
        ends += [quantiles["0.05"], quantiles["1"]]
        low, high = _apart(min(ends), max(ends))
        return cls(target, column, spread, low, high)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Ends of a histogram, moved apart where there is no room for bins between them."""
    if high / 2 - low / 2 > max(abs(low), abs(high)) * 2.0**-48:
        return low, high
    room = max(1.0, abs(low) * 2.0**-40)
    return (low, low + room) if low < 0 or np.isfinite(low + room) else (low - room, low)


@dataclass
class Overview:
    """Mergeable figures of documents, for the report."""

    histograms: dict[str, Counts] = field(default_factory=dict)
    """By target int64[2, BINS + 2]: eligible and selected documents by log weight."""
    positive: dict[str, Counts] = field(default_factory=dict)
    """By target int64[2]: eligible and selected documents whose log weight is above 0."""
    lengths: Counts = field(default_factory=lambda: np.zeros((3, LENGTHS), np.int64))
    """int64[3, LENGTHS]: documents, those eligible, those selected, by tokens."""
    files: dict[str, Counts] = field(default_factory=dict)
    """int64[3] by source file: documents, those eligible, those selected."""
    candidates: dict[Kind, list[Candidate]] = field(default_factory=dict)
    """The `N_CANDIDATES` smallest of each kind, in order."""

    def merge(self, other: Overview) -> None:
        """Add another view to this one."""
        for mine, others in (
            (self.histograms, other.histograms),
            (self.positive, other.positive),
            (self.files, other.files),
        ):
            for name, counts in others.items():
                mine[name] = mine[name] + counts if name in mine else counts
        self.lengths = self.lengths + other.lengths
        for kind, found in other.candidates.items():
            self.candidates[kind] = heapq.nsmallest(N_CANDIDATES, [*self.candidates.get(kind, []), *found])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "histograms": {name: counts.tolist() for name, counts in self.histograms.items()},
            "positive": {name: counts.tolist() for name, counts in self.positive.items()},
            "lengths": self.lengths.tolist(),
            "files": {name: counts.tolist() for name, counts in self.files.items()},
            "candidates": {kind: [asdict(one) for one in found] for kind, found in self.candidates.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Overview:
        """Inverse of `to_json`."""
        return cls(
            {name: np.array(counts, np.int64) for name, counts in value["histograms"].items()},
            {name: np.array(counts, np.int64) for name, counts in value["positive"].items()},
            np.array(value["lengths"], np.int64),
            {name: np.array(counts, np.int64) for name, counts in value["files"].items()},
            {kind: [Candidate(**one) for one in found] for kind, found in value["candidates"].items()},
        )


def overview_of(
    view: View, chosen: npt.NDArray[np.int32], cuts: Sequence[Cut], selectors: Sequence[str], scales: Sequence[Scale]
) -> Overview:
    """The overview of some documents of a shard.

    Args:
        chosen: int32[n], index of the cut that chose each document, or -1.
        cuts: what was chosen by.
        selectors: who chooses, by index of the target.
        scales: whose log weights to count.
    """
    rows, eligible, is_chosen = view.rows, view.eligible, chosen >= 0
    histograms, positive = {}, {}
    for scale in scales:
        mine = [index for index, cut in enumerate(cuts) if cut.ranking.column == scale.column]
        its_own = is_chosen & np.isin(chosen, mine)
        histograms[scale.target] = np.stack([scale.counts(rows, eligible), scale.counts(rows, its_own)])
        above = rows.log_weights[scale.column] > 0
        positive[scale.target] = np.array([(eligible & above).sum(), (its_own & above).sum()], np.int64)
    fate = eligible.astype(np.int8) + is_chosen
    digits = np.minimum(np.frexp(rows.n_tokens.astype(np.float32))[1], LENGTHS - 1)
    files = _by_fate(rows.file_codes, fate, len(rows.files))
    return Overview(
        histograms,
        positive,
        _by_fate(digits, fate, LENGTHS),
        {rows.files[code]: files[:, code] for code in np.flatnonzero(files[0])},
        candidates(view, chosen, cuts, selectors),
    )


def _by_fate(codes: npt.NDArray[np.int32], fate: npt.NDArray[np.int8], size: int) -> Counts:
    """int64[3, size]: all documents, those eligible, those selected, by code.

    Args:
        fate: int8[n], 0 for a document that is not eligible, 1 for one rejected, 2 for one selected.
    """
    apart = np.bincount(codes + size * fate.astype(np.int32), minlength=3 * size).reshape(3, size)
    return apart[::-1].cumsum(axis=0)[::-1]


def ranks_of(value: float, counts: Sequence[int], low: float, high: float) -> tuple[int, int]:
    """First and last rank, from 1, that a log weight may have among the documents of a histogram.

    Args:
        value: a log weight, scaled as those of the histogram.
        counts: of a `Scale` from low to high: BINS + 2 numbers, the first and the last of what lies outside.
    """
    place = np.clip((value / 2 - low / 2) / (high / 2 - low / 2) * BINS + 1, 0, BINS + 1)
    index = BINS if value == high else int(place)
    above = sum(counts[index + 1 :])
    return above + 1, above + max(1, counts[index])
