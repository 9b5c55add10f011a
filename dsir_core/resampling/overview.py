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

from dsir_core.corpus.listing import kind_of
from dsir_core.digests import hash64
from dsir_core.model.noise import random_bits
from dsir_core.resampling.keys import Cut, View
from dsir_core.resampling.radix import keys_of_bits
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import Rows

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
    spread: WeightScaling
    low: float
    high: float

    def counts(self, rows: Rows, which: npt.NDArray[np.bool_]) -> Counts:
        """int64[BINS + 2]: documents of bool[n] by bin; the first and the last bin hold what lies outside."""
        return self.count(rows.log_weights[self.column][which], rows.n_tokens[which])

    def count(self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]) -> Counts:
        """int64[BINS + 2] of float64[n] log weights of documents with int32[n] tokens."""
        plain = self.spread.normalised(log_weights, n_tokens)
        places = np.clip((plain - self.low) * (BINS / (self.high - self.low)) + 1, 0, BINS + 1)
        counts = np.bincount(places.astype(np.int64), minlength=BINS + 2)
        # The largest value belongs to the last bin inside.
        at_end = np.count_nonzero((plain == self.high) & (places >= BINS + 1))
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
        low, high = min(ends), max(ends)
        return cls(target, column, spread, low, high if high > low else low + 1.0)


@dataclass(frozen=True, order=True)
class Candidate:
    """A document that may be shown as an example; the smallest are shown."""

    order: float
    file: str
    position: int
    offset: int | None
    """Where a chunk begins in its document's text; None for a whole document."""
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
    histograms = {}
    for scale in scales:
        mine = [index for index, cut in enumerate(cuts) if cut.ranking.column == scale.column]
        histograms[scale.target] = np.stack(
            [scale.counts(rows, eligible), scale.counts(rows, is_chosen & np.isin(chosen, mine))]
        )
    fate = eligible.astype(np.int8) + is_chosen
    digits = np.minimum(np.frexp(rows.n_tokens.astype(np.float32))[1], LENGTHS - 1)
    files = _by_fate(rows.file_codes, fate, len(rows.files))
    return Overview(
        histograms,
        _by_fate(digits, fate, LENGTHS),
        {rows.files[code]: files[:, code] for code in np.flatnonzero(files[0])},
        _candidates(view, chosen, cuts, selectors),
    )


def _by_fate(codes: npt.NDArray[np.int32], fate: npt.NDArray[np.int8], size: int) -> Counts:
    """int64[3, size]: all documents, those eligible, those selected, by code.

    Args:
        fate: int8[n], 0 for a document that is not eligible, 1 for one rejected, 2 for one selected.
    """
    apart = np.bincount(codes + size * fate.astype(np.int32), minlength=3 * size).reshape(3, size)
    return apart[::-1].cumsum(axis=0)[::-1]


def _candidates(
    view: View, chosen: npt.NDArray[np.int32], cuts: Sequence[Cut], selectors: Sequence[str]
) -> dict[Kind, list[Candidate]]:
    if not cuts:
        return {}
    rows = view.rows
    reachable = view.eligible & _reachable(rows)
    selected, rejected = np.flatnonzero(reachable & (chosen >= 0)), np.flatnonzero(reachable & (chosen < 0))
    by, short = _nearest_cuts(view, rejected, cuts)
    noise = _noise(rows)
    kinds: dict[Kind, tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any]]] = {
        "selected": (selected, noise[selected], chosen[selected]),
        "missed": (rejected, short, by),
        "rejected": (rejected, noise[rejected], by),
    }
    return {
        kind: [
            _candidate(view, int(which[i]), order[i].item(), cuts[used[i]], selectors) for i in _smallest(order)
        ]
        for kind, (which, order, used) in kinds.items()
    }  # fmt: skip


def _nearest_cuts(
    view: View, which: npt.NDArray[np.int64], cuts: Sequence[Cut]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of some documents the cut that each came nearest to, int64[m], and how far its key fell short, float64[m]."""
    by, short = np.zeros(len(which), np.int64), np.full(len(which), np.inf)
    for index, cut in enumerate(cuts):
        lacking = _key(cut.bits) - keys_of_bits(view.bits(cut.ranking)[which])
        nearer = view.candidates(cut.ranking)[which] & (lacking < short)
        by[nearer], short[nearer] = index, lacking[nearer]
    return by, short


def _candidate(view: View, i: int, order: float, cut: Cut, selectors: Sequence[str]) -> Candidate:
    rows, ranking = view.rows, cut.ranking
    return Candidate(
        order,
        rows.files[rows.file_codes[i]],
        int(rows.positions[i]),
        None if rows.offsets is None else int(rows.offsets[i]),
        int(rows.n_tokens[i]),
        selectors[ranking.target],
        float(rows.log_weights[ranking.column][i]),
        _key(int(view.bits(ranking)[i])),
        _key(cut.bits),
    )


def _key(bits: int) -> float:
    return float(keys_of_bits(np.array([bits], np.uint64))[0])


def _smallest(order: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Indices of the `N_CANDIDATES` smallest, the first of equals first."""
    some = np.arange(len(order))
    if len(order) > N_CANDIDATES:
        some = np.flatnonzero(order <= np.partition(order, N_CANDIDATES - 1)[N_CANDIDATES - 1])
    return some[np.argsort(order[some], kind="stable")][:N_CANDIDATES]


def _reachable(rows: Rows) -> npt.NDArray[np.bool_]:
    """bool[n]: documents that stand where they may be looked up in their files."""
    kinds = [kind_of(path) for path in rows.files]
    limits = [REACH_BYTES if kind and kind[1] != "none" else np.iinfo(np.int64).max for kind in kinds]
    return np.less(rows.positions, np.array(limits, np.int64)[rows.file_codes])


def _noise(rows: Rows) -> npt.NDArray[np.uint64]:
    """uint64[n]: random, and the same for a document in whatever shard it stands."""
    salts = np.array([hash64("example", path) for path in rows.files], np.uint64)
    bits = random_bits((rows.positions.astype(np.uint64) ^ salts[rows.file_codes]).view(np.int64), "example")
    if rows.offsets is None:
        return bits
    return random_bits((bits ^ rows.offsets.astype(np.uint64)).view(np.int64), "example piece")
