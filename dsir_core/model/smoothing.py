"""Smoothing of target counts.

Without smoothing a small target is its own few words: every n-gram that it happens not to hold costs a raw document
about ten nats. Laplace smoothing adds the same to every bucket; a prior proportional to raw adds more where raw has
more, so that a bucket of which the target says nothing has a log ratio near 0 (Zhai and Lafferty 2004, Dirichlet
prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EPSILON = 1e-8
"""Added to both probabilities inside the logarithms, as in the reference."""

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

DEFAULT = Smoothing(raw_prior=10_000.0)
"""Within 0.03 of the best smoothing for targets of any size (docs/quality.md)."""


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
