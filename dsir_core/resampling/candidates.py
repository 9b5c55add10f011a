"""Documents that the report may show as examples: a few of each kind, the same however the corpus is sharded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dsir_core.corpus.compression import PLAIN
from dsir_core.corpus.formats.registry import kind_of
from dsir_core.digests import hash64
from dsir_core.model.noise import random_bits
from dsir_core.resampling.keys import Cut, View
from dsir_core.resampling.radix import keys_of_bits
from dsir_core.resampling.weight_rows import Rows

N_CANDIDATES = 6
"""Documents kept by name, of each kind."""

REACH_BYTES = 32 * 2**20
"""A compressed file must be read from its beginning to any place in it: examples stand no deeper than this."""

Kind: TypeAlias = Literal["selected", "barely", "missed", "rejected"]
KINDS: tuple[Kind, ...] = ("selected", "barely", "missed", "rejected")
"""Random selected documents; those selected with keys next to their thresholds; those rejected with keys next to them;
random rejected documents."""


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


def candidates(
    view: View, chosen: npt.NDArray[np.int32], cuts: Sequence[Cut], selectors: Sequence[str]
) -> dict[Kind, list[Candidate]]:
    """The `N_CANDIDATES` smallest candidates of each kind among some documents of a shard.

    Args:
        chosen: int32[n], index of the cut that chose each document, or -1.
        cuts: what was chosen by.
        selectors: who chooses, by index of the target.
    """
    if not cuts:
        return {}
    rows = view.rows
    reachable = view.eligible & _reachable(rows)
    selected, rejected = np.flatnonzero(reachable & (chosen >= 0)), np.flatnonzero(reachable & (chosen < 0))
    by, short = _nearest_cuts(view, rejected, cuts)
    over = _beyond(view, selected, chosen[selected], cuts)
    has_cut = np.isfinite(over)
    noise = _noise(rows)
    kinds: dict[Kind, tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any]]] = {
        "selected": (selected, noise[selected], chosen[selected]),
        "barely": (selected[has_cut], over[has_cut], chosen[selected[has_cut]]),
        "missed": (rejected, short, by),
        "rejected": (rejected, noise[rejected], by),
    }
    return {
        kind: [
            _candidate(view, int(which[i]), order[i].item(), cuts[used[i]], selectors) for i in _smallest(order)
        ]
        for kind, (which, order, used) in kinds.items()
    }  # fmt: skip


def _beyond(
    view: View, which: npt.NDArray[np.int64], by: npt.NDArray[np.int32], cuts: Sequence[Cut]
) -> npt.NDArray[np.float64]:
    """float64[m]: of selected documents, how far their keys are above the threshold of the cut that chose each.

    NaN where it chose all there is and has no threshold.
    """
    over = np.zeros(len(which))
    for index, cut in enumerate(cuts):
        mine = by == index
        if mine.any():
            with np.errstate(over="ignore"):  # a difference beyond float64 is infinitely far
                over[mine] = keys_of_bits(view.bits(cut.ranking)[which[mine]]) - _key(cut.bits)
    return over


def _nearest_cuts(
    view: View, which: npt.NDArray[np.int64], cuts: Sequence[Cut]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of some documents the cut that each came nearest to, int64[m], and how far its key fell short, float64[m]."""
    by, short = np.zeros(len(which), np.int64), np.full(len(which), np.inf)
    for index, cut in enumerate(cuts):
        with np.errstate(over="ignore"):  # a difference beyond float64 is infinitely far
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
    limits = [REACH_BYTES if kind and kind[1] != PLAIN else np.iinfo(np.int64).max for kind in kinds]
    return np.less(rows.positions, np.array(limits, np.int64)[rows.file_codes])


def _noise(rows: Rows) -> npt.NDArray[np.uint64]:
    """uint64[n]: random, and the same for a document in whatever shard it stands."""
    salts = np.array([hash64("example", path) for path in rows.files], np.uint64)
    bits = random_bits((rows.positions.astype(np.uint64) ^ salts[rows.file_codes]).view(np.int64), "example")
    if rows.offsets is None:
        return bits
    return random_bits((bits ^ rows.offsets.astype(np.uint64)).view(np.int64), "example piece")
