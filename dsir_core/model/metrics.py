"""Figures that say whether a selection is right: KL reduction (paper section 5) and effective sample size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from dsir_core.model.importance import distribution
from dsir_core.model.noise import exp_exact

EPSILON = 1e-10
"""Added to both probabilities inside the logarithms of a KL divergence."""


def kl_divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """KL(p || q) in nats of two distributions over the buckets, with 1e-10 added inside the logarithms.

    Args:
        p, q: float64[buckets], each sums to 1.
    """
    return float(np.sum(p * (np.log(p + EPSILON) - np.log(q + EPSILON))))


class KLReduction(TypedDict):
    """How much nearer a selection is to its target than raw is, in nats."""

    kl_raw: float
    """KL(target || raw)."""
    kl_selected: float | None
    """KL(target || selection); None where nothing is selected."""
    kl_reduction: float | None
    """Their difference."""


def kl_reduction(
    target: npt.NDArray[np.int64], raw: npt.NDArray[np.int64], selected: npt.NDArray[np.int64]
) -> KLReduction:
    """KL reduction of a selection for one target.

    Args:
        target, raw, selected: int64[buckets], counts without smoothing.
    """
    p = distribution(target)
    kl_raw = kl_divergence(p, distribution(raw))
    kl_selected = kl_divergence(p, distribution(selected)) if selected.any() else None
    return KLReduction(
        kl_raw=kl_raw, kl_selected=kl_selected, kl_reduction=None if kl_selected is None else kl_raw - kl_selected
    )


def mean_reduction(reductions: Iterable[float | None]) -> float | None:
    """Mean KL reduction over the targets for which something is selected; None where nothing is."""
    found = [reduction for reduction in reductions if reduction is not None]
    return float(np.mean(found)) if found else None


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
        weights = _relative(log_weights, peak)
        return cls(len(log_weights), peak, float(weights.sum()), float((weights * weights).sum()))

    def merge(self, other: WeightSums) -> WeightSums:
        """Sums over both sets."""
        if not other.n:
            return self
        if not self.n:
            return other
        peak = max(self.peak, other.peak)
        mine, theirs = _relative(np.array([self.peak, other.peak]), peak)
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


def _relative(log_weights: npt.NDArray[np.float64], peak: float) -> npt.NDArray[np.float64]:
    """exp(w - peak), float64[n], of log weights that are at most the peak; a temperature may depend on its last bit."""
    with np.errstate(over="ignore"):  # a difference beyond float64 is as good as one of 700
        return exp_exact(np.maximum(log_weights - peak, -700.0))
