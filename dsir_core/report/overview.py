"""What the report shows of a shard's documents, tallied while they are marked.

Histograms over bins that all shards share, counts by length and by file, and a few documents by name: whatever the
shards, the merged view is the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dsir_core.choosing import Cut, View
from dsir_core.corpus.listing import kind_of
from dsir_core.digests import hash64
from dsir_core.noise import random_bits
from dsir_core.radix import keys_of_bits
from dsir_core.rows import Rows
from dsir_core.spread import Spread

BINS = 120
"""Of a histogram; one more on each side takes what lies outside."""

LENGTHS = 32
"""Bins by the number of binary digits of a document's tokens: 0, 1, 2-3, 4-7, ..."""

N_CANDIDATES = 6
"""Documents kept by name, of each kind."""

REACH_BYTES = 32 * 2**20
"""A compressed file must be read from its beginning to any place in it: examples stand no deeper than this."""

Kind: TypeAlias = Literal["selected", "missed", "rejected"]
KINDS: tuple[Kind, ...] = ("selected", "missed", "rejected")
"""Random selected documents; those rejected with the largest keys; random rejected documents."""

Counts: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """The bins of one target's log weights (divided by length where the run asks for it)."""

    target: str
    column: str
    spread: Spread
    low: float
    high: float

    def counts(self, rows: Rows, which: npt.NDArray[np.bool_]) -> Counts:
        """int64[BINS + 2]: documents of bool[n] by bin; the first and the last bin hold what lies outside."""
        return self.count(rows.log_weights[self.column][which], rows.n_tokens[which])

    def count(self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]) -> Counts:
        """int64[BINS + 2] of float64[n] log weights of documents with int32[n] tokens."""
        plain = self.spread.plain(log_weights, n_tokens)
        places = (np.nan_to_num(plain) - self.low) / (self.high - self.low) * BINS
        # The largest value belongs to the last bin inside.
        inside = np.where(plain == self.high, BINS - 1, np.floor(np.clip(places, -1, BINS)))
        return np.bincount(inside.astype(np.int64) + 1, minlength=BINS + 2)

    @classmethod
    def over(
        cls,
        target: str,
        column: str,
        spread: Spread,
        quantiles: Mapping[str, float],
        of_target: npt.NDArray[np.float64],
    ) -> Scale:
        """Without the long tails, which would squeeze all else together: all raw above its 5 % quantile, and the
        target between its 5 % and its 95 % quantile.

        Args:
            quantiles: of raw.
            of_target: float64[n], those of some of the target's documents.
        """
        ends = np.quantile(of_target, (0.05, 0.95)).tolist() if len(of_target) else []
        ends += [quantiles["0.05"], quantiles["1"]]
        low, high = min(ends), max(ends)
        return cls(target, column, spread, low, high if high > low else low + 1.0)


@dataclass(frozen=True, order=True)
class Candidate:
    """A document that may be shown as an example; the smallest are shown."""

    order: float
    file: str
    position: int
    n_tokens: int = field(compare=False)
    target: str = field(compare=False)
    """Who chose it, or came nearest to choosing it."""
    log_weight: float = field(compare=False)
    key: float = field(compare=False)
    threshold: float = field(compare=False)
    """Of the target's keys."""


@dataclass
class Overview:
    """Mergeable figures of documents, for the report."""

    histograms: dict[str, Counts] = field(default_factory=dict)
    """By target int64[2, BINS + 2]: eligible and selected documents by log weight."""
    lengths: Counts = field(default_factory=lambda: np.zeros((3, LENGTHS), np.int64))
    """int64[3, LENGTHS]: documents, those eligible, those selected, by tokens."""
    files: dict[str, Counts] = field(default_factory=dict)
    """int64[3] by source file: documents, those eligible, those selected."""
    candidates: dict[Kind, list[Candidate]] = field(default_factory=dict)
    """The `N_CANDIDATES` smallest of each kind, in order."""

    def merge(self, other: Overview) -> None:
        """Add another view to this one."""
        for mine, others in ((self.histograms, other.histograms), (self.files, other.files)):
            for name, counts in others.items():
                mine[name] = mine[name] + counts if name in mine else counts
        self.lengths = self.lengths + other.lengths
        for kind, found in other.candidates.items():
            self.candidates[kind] = heapq.nsmallest(N_CANDIDATES, [*self.candidates.get(kind, []), *found])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "histograms": {name: counts.tolist() for name, counts in self.histograms.items()},
            "lengths": self.lengths.tolist(),
            "files": {name: counts.tolist() for name, counts in self.files.items()},
            "candidates": {kind: [asdict(one) for one in found] for kind, found in self.candidates.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Overview:
        """Inverse of `to_json`."""
        return cls(
            {name: np.array(counts, np.int64) for name, counts in value["histograms"].items()},
            np.array(value["lengths"], np.int64),
            {name: np.array(counts, np.int64) for name, counts in value["files"].items()},
            {kind: [Candidate(**one) for one in found] for kind, found in value["candidates"].items()},
        )


def overview_of(
    view: View, chosen: npt.NDArray[np.int32], cuts: Sequence[Cut], names: Sequence[str], scales: Sequence[Scale]
) -> Overview:
    """The overview of some documents of a shard.

    Args:
        chosen: int32[n], index of the cut that chose each document, or -1.
        cuts: what was chosen by.
        names: who chooses, by index of the target.
        scales: whose log weights to count.
    """
    rows, eligible, is_chosen = view.rows, view.eligible, chosen >= 0
    histograms = {}
    for scale in scales:
        mine = [index for index, cut in enumerate(cuts) if cut.ranking.column == scale.column]
        histograms[scale.target] = np.stack(
            [scale.counts(rows, eligible), scale.counts(rows, is_chosen & np.isin(chosen, mine))]
        )
    groups = (np.ones(len(rows), bool), eligible, is_chosen)
    digits = np.minimum(np.frexp(rows.n_tokens.astype(np.float64))[1], LENGTHS - 1)
    lengths = np.stack([np.bincount(digits[group], minlength=LENGTHS) for group in groups])
    files = np.stack([np.bincount(rows.file_codes[group], minlength=len(rows.files)) for group in groups])
    return Overview(
        histograms,
        lengths,
        {rows.files[code]: files[:, code] for code in np.flatnonzero(files[0])},
        _candidates(view, chosen, cuts, names),
    )


def _candidates(
    view: View, chosen: npt.NDArray[np.int32], cuts: Sequence[Cut], names: Sequence[str]
) -> dict[Kind, list[Candidate]]:
    if not cuts:
        return {}
    rows, rejected = view.rows, view.eligible & (chosen < 0)
    keys = [keys_of_bits(view.bits(cut.ranking)) for cut in cuts]
    thresholds = keys_of_bits(np.array([cut.bits for cut in cuts], np.uint64))
    short = np.stack([
        np.where(view.candidates(cut.ranking), threshold - key, np.inf)
        for cut, threshold, key in zip(cuts, thresholds, keys, strict=True)
    ])  # fmt: skip
    nearest = np.argmin(np.where(np.isnan(short), np.inf, short), axis=0)
    by = np.where(chosen >= 0, chosen, nearest)
    reachable = rows.positions < _reach(rows)
    noise = _noise(rows)
    found: dict[Kind, list[Candidate]] = {}
    orders: dict[Kind, tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]] = {
        "selected": (chosen >= 0, noise),
        "missed": (rejected, short[nearest, np.arange(len(rows))]),
        "rejected": (rejected, noise),
    }
    for kind, (which, order) in orders.items():
        found[kind] = [
            Candidate(
                order[i].item(),
                rows.files[rows.file_codes[i]],
                int(rows.positions[i]),
                int(rows.n_tokens[i]),
                names[cuts[by[i]].ranking.target],
                float(rows.log_weights[cuts[by[i]].ranking.column][i]),
                float(keys[by[i]][i]),
                float(thresholds[by[i]]),
            )
            for i in _smallest(which & reachable, order)
        ]
    return found


def _smallest(which: npt.NDArray[np.bool_], order: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Rows of bool[n] with the smallest order, the first of equals first."""
    rows = np.flatnonzero(which)
    if len(rows) > N_CANDIDATES:
        limit = np.partition(order[rows], N_CANDIDATES - 1)[N_CANDIDATES - 1]
        rows = rows[order[rows] <= limit]
    return rows[np.argsort(order[rows], kind="stable")][:N_CANDIDATES]


def _reach(rows: Rows) -> npt.NDArray[np.int64]:
    """int64[n]: the position behind which a document is not looked up in its file."""
    kinds = [kind_of(path) for path in rows.files]
    limits = [REACH_BYTES if kind and kind[1] != "none" else np.iinfo(np.int64).max for kind in kinds]
    return np.array(limits, np.int64)[rows.file_codes]


def _noise(rows: Rows) -> npt.NDArray[np.uint64]:
    """uint64[n]: random, and the same for a document in whatever shard it stands."""
    salts = np.array([hash64("example", path) for path in rows.files], np.uint64)
    return random_bits((rows.positions.astype(np.uint64) ^ salts[rows.file_codes]).view(np.int64), "example")
