"""Smoothing of target counts: given, or found by how well it foretells target documents that it has not seen.

Without smoothing a small target is its own few words: every n-gram that it happens not to hold costs a raw document
about ten nats. Laplace smoothing adds the same to every bucket; a prior proportional to raw adds more where raw has
more, so that a bucket of which the target says nothing has a log ratio near 0 (Zhai and Lafferty 2004, Dirichlet
prior).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.model.noise import log_exact

EPSILON = 1e-8
"""Added to both probabilities inside the logarithms, as in the reference."""

FOLDS = 10
"""Parts into which target documents fall; each is foretold from the others."""

FEW_NGRAMS_PER_BUCKET = 10
"""A target with fewer is small: unsmoothed, it selects worse than it could (docs/quality.md)."""


@dataclass(frozen=True)
class Smoothing:
    """What is added to the counts of a target."""

    laplace: float = 0.0
    """To every bucket."""
    raw_prior: float = 0.0
    """N-grams in all, shared out as raw has them."""

    def __str__(self) -> str:
        """As in a configuration."""
        return f"raw_prior={self.raw_prior:g}" if self.raw_prior else f"{self.laplace:g}"


NONE = Smoothing()

CANDIDATES = (
    NONE,
    *(Smoothing(laplace=n) for n in (0.001, 0.01, 0.1, 1.0)),
    *(Smoothing(raw_prior=float(n * 10**power)) for power in range(1, 8) for n in (1, 3)),
)
"""What `auto` chooses from; where two do as well, the earlier."""


@dataclass(frozen=True)
class Picked:
    """A smoothing and how it was found."""

    smoothing: Smoothing
    nats: float | None = None
    """Held-out log likelihood of the target's n-grams, in nats an n-gram; None when it was given."""
    unsmoothed_nats: float | None = None
    """The same without smoothing."""


def smoothed(
    counts: npt.NDArray[np.int64], raw_distribution: npt.NDArray[np.float64], smoothing: Smoothing
) -> npt.NDArray[np.float64]:
    """A target's categorical distribution over the buckets.

    Args:
        counts: int64[..., buckets]. raw_distribution: float64[buckets], sums to 1.

    Returns:
        float64[..., buckets], rows sum to 1.

    Raises:
        ValueError: a row of counts (after smoothing) sums to zero.
    """
    added = counts + np.float64(smoothing.laplace)
    # Sums of integer counts below 2^53 are exact in float64, so the order of summation does not matter there.
    totals = counts.sum(axis=-1, keepdims=True) + np.float64(smoothing.laplace) * counts.shape[-1]
    if smoothing.raw_prior:
        added = added + np.float64(smoothing.raw_prior) * raw_distribution
        totals = totals + np.float64(smoothing.raw_prior)
    if not (totals > 0).all():
        raise ValueError("counts sum to zero: there is no distribution")
    return np.asarray(added / totals, np.float64)


def held_out_nats(
    folds: npt.NDArray[np.int64], raw_distribution: npt.NDArray[np.float64], smoothing: Smoothing
) -> float:
    """Mean log likelihood of an n-gram in each fold under the distribution of all others, in nats.

    Args:
        folds: int64[folds, buckets], of which two at least hold n-grams.
    """
    total = folds.sum(axis=0)
    terms: list[float] = []
    for fold in folds[folds.any(axis=1)]:
        held = np.flatnonzero(fold)
        p = smoothed(total - fold, raw_distribution, smoothing)[held]
        # An exact sum, so that the choice is the same on every machine.
        terms.append(math.fsum(fold[held] * log_exact(p + EPSILON)))
    return math.fsum(terms) / float(folds.sum())


def pick_smoothing(
    folds: npt.NDArray[np.int64],
    raw_distribution: npt.NDArray[np.float64],
    candidates: Sequence[Smoothing] = CANDIDATES,
) -> Picked | None:
    """The candidate under which target documents are likeliest that were held out; None for a target of one fold."""
    if folds.any(axis=1).sum() < 2:
        return None
    found = [held_out_nats(folds, raw_distribution, candidate) for candidate in candidates]
    best = found.index(max(found))
    return Picked(candidates[best], found[best], held_out_nats(folds, raw_distribution, NONE))
