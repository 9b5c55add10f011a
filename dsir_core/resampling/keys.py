"""Which documents are chosen: keys, pools, ties.

`key = log_weight / temperature + Gumbel(0, 1)`; the k documents with the largest keys are an exact sample without
replacement in proportion to the importance weights (Gumbel top-k; paper section 3, reference `DSIR.resample`).
Other methods have keys of their own (`methods.py`).
Documents under `min_tokens`, or without a weight, are not eligible. Several separate targets choose in order, each
among what the earlier ones left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsir_core.config.methods import method_of
from dsir_core.resampling.methods import keys_of
from dsir_core.resampling.radix import order_bits
from dsir_core.resampling.scaling import REFERENCE, WeightScaling
from dsir_core.resampling.weight_rows import Rows
from dsir_core.resampling.weights_schema import odds_column


@dataclass(frozen=True)
class Pool:
    """Which eligible documents a cut chooses from."""

    stratum: str | None = None
    """Only those of this stratum."""
    nearest: tuple[str, ...] = ()
    """Columns of all targets: only documents whose log weight (for its length) is largest for the ranking's own."""


EVERYONE = Pool()


@dataclass(frozen=True)
class Ranking:
    """What orders the documents for one target, and which."""

    method: str
    seed: int
    target: int
    """Index of the target: each has noise of its own."""
    column: str
    """Log-weight column of the weights file."""
    spread: WeightScaling = REFERENCE
    pool: Pool = EVERYONE

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the weights file that it looks at."""
        odds = (odds_column(self.column),) if method_of(self.method).uses_classifier else ()
        return (self.column, *odds, *self.pool.nearest)


@dataclass(frozen=True)
class Cut:
    """A ranking's threshold as one shard applies it."""

    ranking: Ranking
    bits: int
    ties: int
    """How many documents of this shard with key equal to `bits` are taken, in order of (file, position)."""


@dataclass(frozen=True, slots=True)
class GlobalCut:
    """What one target takes under a ranking, of all shards."""

    ranking: Ranking
    bits: int
    ties: npt.NDArray[np.int64] | None
    """int64[shards]: how many documents with key equal to `bits` each shard takes; None for none."""

    def at(self, shard: int) -> Cut:
        """As one shard applies it."""
        return Cut(self.ranking, self.bits, 0 if self.ties is None else int(self.ties[shard]))


def eligible(rows: Rows, min_tokens: int) -> npt.NDArray[np.bool_]:
    """bool[n]: documents of at least `min_tokens` tokens that have a log weight, without copies that are left out."""
    enough = rows.n_tokens >= min_tokens
    if rows.copies is not None:
        enough &= rows.copies == 0
    for log_weights in rows.log_weights.values():
        enough &= ~np.isnan(log_weights)
    return enough


class View:
    """Rows under several rankings: what several of them need is computed once."""

    def __init__(self, rows: Rows, min_tokens: int) -> None:
        self.rows = rows
        self.eligible = eligible(rows, min_tokens)
        self._bits: dict[Ranking, npt.NDArray[np.uint64]] = {}
        self._nearest: dict[tuple[str, ...], npt.NDArray[np.intp]] = {}

    def bits(self, ranking: Ranking) -> npt.NDArray[np.uint64]:
        """Keys as integers of their order: uint64[n]."""
        ranking = replace(ranking, pool=EVERYONE)
        if ranking not in self._bits:
            self._bits[ranking] = order_bits(keys_of(self.rows, ranking))
        return self._bits[ranking]

    def candidates(self, ranking: Ranking) -> npt.NDArray[np.bool_]:
        """bool[n]: eligible documents of a ranking's pool."""
        pool, found = ranking.pool, self.eligible
        if pool.stratum is not None:
            found = found & self.rows.in_stratum(pool.stratum)
        if pool.nearest:
            found = found & (self._nearest_of(ranking) == pool.nearest.index(ranking.column))
        return found

    def _nearest_of(self, ranking: Ranking) -> npt.NDArray[np.intp]:
        columns = ranking.pool.nearest
        if columns not in self._nearest:
            weights = [
                ranking.spread.normalised(self.rows.log_weights[column], self.rows.n_tokens) for column in columns
            ]
            self._nearest[columns] = np.argmax(np.stack(weights), axis=0)
        return self._nearest[columns]


class Chooser:
    """Applies cuts, in order, to the rows of one shard; remembers how many ties it has taken."""

    def __init__(self, cuts: tuple[Cut, ...], min_tokens: int) -> None:
        self._cuts = cuts
        self._min_tokens = min_tokens
        self._ties = [cut.ties for cut in cuts]

    def choose(self, rows: Rows | View) -> npt.NDArray[np.int32]:
        """int32[n]: index of the cut that chose each document, -1 where none did. Rows must come in order."""
        view = rows if isinstance(rows, View) else View(rows, self._min_tokens)
        chosen = np.full(len(view.rows), -1, np.int32)
        free = view.eligible.copy()
        for index, cut in enumerate(self._cuts):
            bits = view.bits(cut.ranking)
            candidates = free & view.candidates(cut.ranking)
            taken = candidates & (bits > np.uint64(cut.bits))
            if self._ties[index]:
                equal = np.flatnonzero(candidates & (bits == np.uint64(cut.bits)))[: self._ties[index]]
                taken[equal] = True
                self._ties[index] -= len(equal)
            chosen[taken] = index
            free &= ~taken
        return chosen


@dataclass(frozen=True)
class Search:
    """A set of keys of one shard: the eligible documents that no earlier cut has chosen, under a ranking."""

    ranking: Ranking
    earlier: tuple[Cut, ...]
