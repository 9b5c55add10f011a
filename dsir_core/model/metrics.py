"""Figures that say whether a selection is right: KL reduction (paper section 5) and effective sample size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EPSILON = 1e-10
"""Added to both probabilities inside the logarithms of a KL divergence."""


def kl_divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """KL(p || q) in nats of two distributions over the buckets, with 1e-10 added inside the logarithms.

    Args:
        p, q: float64[buckets], each sums to 1.
    """
    return float(np.sum(p * (np.log(p + EPSILON) - np.log(q + EPSILON))))


@dataclass(frozen=True)
class WeightSums:
    """Mergeable sums over log weights, from which the effective sample size follows.

    `first` and `second` are the sums of exp(w - peak) and exp(2 (w - peak)): no overflow for any finite weights.
    """

    n: int = 0
    peak: float = -np.inf
    first: float = 0.0
    second: float = 0.0

    @classmethod
    def of(cls, log_weights: npt.NDArray[np.float64]) -> WeightSums:
        """Sums over float64[n]."""
        if not len(log_weights):
            return cls()
        peak = float(log_weights.max())
        with np.errstate(over="ignore"):  # a difference beyond float64 is a weight of 0
            weights = np.exp(log_weights - peak)
        return cls(len(log_weights), peak, float(weights.sum()), float((weights * weights).sum()))

    def merge(self, other: WeightSums) -> WeightSums:
        """Sums over both sets."""
        if not other.n:
            return self
        if not self.n:
            return other
        peak = max(self.peak, other.peak)
        mine, theirs = np.exp(self.peak - peak), np.exp(other.peak - peak)
        return WeightSums(
            self.n + other.n,
            peak,
            float(self.first * mine + other.first * theirs),
            float(self.second * mine**2 + other.second * theirs**2),
        )

    @property
    def effective_sample_size(self) -> float:
        """Kish's (sum w)^2 / sum w^2: 1 when one document has all the weight, n when all weigh the same."""
        return self.first**2 / self.second if self.n else 0.0
