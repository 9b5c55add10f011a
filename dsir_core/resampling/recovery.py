"""Held-out recovery: the share of a target's documents that a selection would find if they were hidden in raw.

The target's documents are divided into folds. Each fold is hidden in turn: a model is fitted on the other folds, and
the hidden documents and a sample of raw are scored by it. A hidden document is recovered where fewer than a share `s`
of the eligible raw documents score above it, `s` being the share of them that the run selects. The estimate needs no
labels. It measures what a selection is for: telling target text from raw text.

All arithmetic that decides an order is on integers: log ratios are rounded to multiples of `GRID`, so that sums over
n-grams are exact and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.settings import LengthNormalise
from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.importance import log_ratio
from dsir_core.model.noise import random_bits, smallest_bits
from dsir_core.model.smoothing import DEFAULT, NONE, Smoothing
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.scaling import WeightScaling

FOLDS = 5
GRID = 2.0**-20
"""Log ratios are multiples of it, in nats."""

BANDS, ROWS = 4, 8
"""Near-copies are found by `BANDS` groups of `ROWS` minimum hashes: nine in ten pairs that share 90 % of their counts,
one in half a million that share 15 %."""


@dataclass(frozen=True)
class Candidate:
    """Settings whose recovery is measured."""

    smoothing: Smoothing
    length: LengthNormalise


CANDIDATES = tuple(
    Candidate(smoothing, length)
    for smoothing in (DEFAULT, *(Smoothing(raw_prior=10.0**n) for n in (5, 3)), Smoothing(laplace=1.0), NONE)
    for length in ("tokens", "sqrt", "none")
)
"""What `auto` chooses from, the defaults first; of equals the earlier."""


@dataclass(frozen=True)
class Sample:
    """The documents that recovery is measured with."""

    target: SparseDocuments
    target_counts: npt.NDArray[np.int64]
    """int64[buckets] of the whole target, of which `target` may be a sample."""
    raw: SparseDocuments
    raw_counts: npt.NDArray[np.int64]
    """int64[buckets] that the model of raw is fitted on."""
    ngrams: int
    """Longest n-gram."""
    min_tokens: int
    """Documents with fewer tokens are not eligible."""


@dataclass(frozen=True)
class Folded:
    """A sample whose target documents are divided into folds."""

    target: Any
    """Scipy CSR array int64[n, buckets] of counts."""
    raw: Any
    """The same of the eligible raw documents: int64[m, buckets]."""
    folds: npt.NDArray[np.int64]
    """int64[n], of each target document."""
    others: npt.NDArray[np.int64]
    """int64[folds, buckets]: counts of the target without each fold."""
    target_order: npt.NDArray[np.uint64]
    """uint64[n]: a hash of each document's place."""
    raw_order: npt.NDArray[np.uint64]
    """uint64[m]."""
    target_tokens: npt.NDArray[np.int32]
    """int32[n]."""
    raw_tokens: npt.NDArray[np.int32]
    """int32[m]."""
    raw_counts: npt.NDArray[np.int64]
    """int64[buckets]."""
    min_tokens: int

    def hidden(self, fold: int) -> npt.NDArray[np.bool_]:
        """bool[n]: documents of a fold that would be eligible in raw."""
        return np.asarray((self.folds == fold) & (self.target_tokens >= self.min_tokens), np.bool_)

    def log_weights(self, smoothing: Smoothing) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Log weights as multiples of `GRID`.

        Returns:
            int64[n] of target documents by the model without their fold, and int64[m, folds] of raw documents by each
            of these models.
        """
        ratios = np.round(log_ratio(self.others, self.raw_counts, smoothing) / GRID).astype(np.int64)
        of_raw = np.asarray(self.raw @ np.ascontiguousarray(ratios.T), np.int64)
        of_target = np.zeros(len(self.folds), np.int64)
        for fold, ratio in enumerate(ratios):
            hidden = self.folds == fold
            of_target[hidden] = self.target[hidden] @ ratio
        return of_target, of_raw


def folded(sample: Sample) -> Folded | None:
    """Divide a sample into folds.

    Returns:
        None where nothing can be measured: fewer than two documents that are not near-copies of each other, or no
        eligible document in the target or in raw.
    """
    n_buckets = len(sample.raw_counts)
    groups = near_copies(sample.target)
    raw_tokens, target_tokens = (tokens_of(documents, sample.ngrams) for documents in (sample.raw, sample.target))
    eligible = raw_tokens >= sample.min_tokens
    n_folds = min(FOLDS, len(np.unique(groups)))
    if n_folds < 2 or not eligible.any() or not (target_tokens >= sample.min_tokens).any():
        return None
    folds = folds_of(groups, sample.target.order, n_folds)
    target, raw = sample.target.matrix(n_buckets), sample.raw.matrix(n_buckets)[eligible]
    in_fold = np.stack([np.asarray(target[folds == fold].sum(axis=0)).ravel() for fold in range(n_folds)])
    # Of chunks, some n-grams are no n-grams of the whole document.
    others = np.maximum(sample.target_counts - in_fold, 0)
    if not others.any(axis=1).all() or not sample.raw_counts.any():
        return None
    return Folded(
        target,
        raw,
        folds,
        others,
        sample.target.order,
        sample.raw.order[eligible],
        target_tokens,
        raw_tokens[eligible],
        sample.raw_counts,
        sample.min_tokens,
    )


def measure(sample: Sample, candidates: Sequence[Candidate]) -> list[Ranks] | None:
    """The ranks of the target's hidden documents under each candidate; None where nothing can be measured."""
    found = folded(sample)
    if found is None:
        return None
    sums = {
        smoothing: found.log_weights(smoothing)
        for smoothing in dict.fromkeys(candidate.smoothing for candidate in candidates)
    }
    return [_ranks(*sums[candidate.smoothing], found, candidate.length) for candidate in candidates]


def ranks_above(hidden: npt.NDArray[np.float64], raw: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """int64[n]: twice the number of raw documents that score above each hidden one; an equal score counts once.

    Args:
        hidden: float64[n], scores.
        raw: float64[m], scores.
    """
    ordered = np.sort(raw)
    not_below = len(raw) - np.searchsorted(ordered, hidden, side="left")
    return np.asarray(not_below + len(raw) - np.searchsorted(ordered, hidden, side="right"), np.int64)


def near_copies(documents: SparseDocuments) -> npt.NDArray[np.int32]:
    """int32[n]: the group of each document; documents in one group are near-copies of each other.

    Two documents are near-copies where `ROWS` minimum hashes over their sets of (bucket, count) agree in one of `BANDS`
    bands (Broder 1997); groups are the connected components.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(documents)
    if not n:
        return np.empty(0, np.int32)
    # With the counts: long documents hold nearly all buckets, and would all be alike without.
    elements = documents.buckets.astype(np.int64) << 32 | documents.counts
    members, bands = [], []
    for band in range(BANDS):
        keys = np.zeros(n, np.uint64)
        for row in range(ROWS):
            smallest = smallest_bits(elements, documents.starts, "near copies", band, row)
            keys = random_bits((keys ^ smallest).view(np.int64), "near copies", "band")
        _, codes = np.unique(keys, return_inverse=True)
        members.append(np.arange(n))
        bands.append(n + band * n + codes)
    edges = (np.ones(n * BANDS, np.int8), (np.concatenate(members), np.concatenate(bands)))
    graph = coo_array(edges, shape=(n * (BANDS + 1), n * (BANDS + 1)))
    labels: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1][:n]
    return labels


def folds_of(groups: npt.NDArray[np.int32], order: npt.NDArray[np.uint64], n_folds: int) -> npt.NDArray[np.int64]:
    """int64[n]: the fold of each document, with each group in one fold and folds of about equal size.

    Args:
        groups: int32[n].
        order: uint64[n], a hash of each document's place, which makes the folds independent of the order of documents.
        n_folds: at most the number of groups.
    """
    found, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    first = np.full(len(found), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, inverse, order)
    fold_of_group, filled = np.zeros(len(found), np.int64), [0] * n_folds
    for group in np.lexsort((first, -sizes)).tolist():
        fold = filled.index(min(filled))
        fold_of_group[group] = fold
        filled[fold] += int(sizes[group])
    return fold_of_group[inverse]


def tokens_of(documents: SparseDocuments, ngrams: int) -> npt.NDArray[np.int32]:
    """int32[n]: tokens of documents, from their numbers of n-grams of orders 1 to `ngrams`.

    A document of T tokens has T + (T - 1) + ... n-grams, down to order `ngrams` or to one of all its tokens.
    """
    if not len(documents):
        return np.empty(0, np.int32)
    totals = documents.totals()
    long = (totals + ngrams * (ngrams - 1) // 2) // ngrams
    # Of fewer tokens than the longest n-gram: T (T + 1) / 2 n-grams.
    short = ((np.sqrt(8.0 * totals + 1) - 1) / 2).astype(np.int64)
    return np.where(long >= ngrams, long, short).astype(np.int32)


def _ranks(
    of_target: npt.NDArray[np.int64], of_raw: npt.NDArray[np.int64], found: Folded, length: LengthNormalise
) -> Ranks:
    above = np.full(len(of_target), -1, np.int64)
    scaling = WeightScaling(length=length)
    for fold in range(of_raw.shape[1]):
        hidden = found.hidden(fold)
        raw = scaling.normalised(of_raw[:, fold].astype(np.float64), found.raw_tokens)
        weights = scaling.normalised(of_target[hidden].astype(np.float64), found.target_tokens[hidden])
        above[hidden] = ranks_above(weights, raw)
    return Ranks(above, len(found.raw_tokens))
