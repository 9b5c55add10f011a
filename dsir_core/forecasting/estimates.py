"""From what a sample holds to what a corpus holds, with a range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsir_core.forecasting.probe import Read, is_enterable
from dsir_core.report.formatting import human_count

N_ERRORS = (12.7, 4.3, 3.2, 2.8, 2.6, 2.5, 2.4, 2.3, 2.3, 2.2)
"""Standard errors to either side of an estimate that hold 95 % of Student's t, for 1, 2, ... degrees of freedom."""

UNKNOWN = 0.5
"""To either side of an estimate from a single place, as a share of it."""

BEGINNING = 0.05
"""To either side of what only the beginnings of files tell, as a share of it: they are entered nowhere else."""

RARE = 3.0
"""To either side at least, in units of what one in the sample stands for: by the rule of three, what a sample lacks is
there no more often in 95 of 100 cases."""


@dataclass(frozen=True)
class Estimate:
    """A figure of a corpus, and the range in which it lies in 95 of 100 cases."""

    value: float
    low: float
    high: float

    @property
    def is_exact(self) -> bool:
        """Whether all of the corpus was read for it."""
        return self.low == self.high

    def __str__(self) -> str:
        return f"{self.value:,.0f}" if self.is_exact else f"{human_count(self.low)} to {human_count(self.high)}"

    def times(self, factor: float) -> Estimate:
        """The estimate of so many times the figure."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def estimate(stored: Mapping[str, int], reads: Sequence[Read], figure: Callable[[Read], float]) -> Estimate:
    """A figure of a whole corpus from places in it, by ratio to stored bytes within each kind of file.

    The error is that of a ratio estimator (Cochran 1977, section 6.4), kinds being strata.

    Args:
        stored: stored bytes of the corpus by kind of file.
        reads: what was read of each kind.
        figure: of a place: its documents, its tokens, ...
    """
    value = squares = rare = 0.0
    least = sum(figure(read) for read in reads)
    for kind, n_stored in stored.items():
        x = np.array([figure(read) for read in reads if read.kind == kind], np.float64)
        s = np.array([read.n_stored for read in reads if read.kind == kind], np.float64)
        if not s.sum():
            continue
        factor = n_stored / float(s.sum())
        value += float(x.sum()) * (factor if factor > 1 else 1.0)
        left = max(0.0, 1 - 1 / factor)
        squares += left * (_spread(x, s) * n_stored) ** 2
        rare += left * (RARE * factor) ** 2
        if left and not is_enterable(kind):
            squares += float(BEGINNING * x.sum() / s.sum() * n_stored) ** 2
    spread = max(min(value, squares**0.5), rare**0.5)
    return Estimate(value, min(value, max(least, value - spread)), value + spread)


def _spread(x: np.ndarray, s: np.ndarray) -> float:
    """To either side of the ratio of sums."""
    ratio = x.sum() / s.sum()
    n = len(x)
    if n < 2:
        return float(UNKNOWN * ratio)
    residuals = x - ratio * s
    error = ((residuals @ residuals) * n / (n - 1)) ** 0.5 / s.sum()
    return float(N_ERRORS[min(n - 1, len(N_ERRORS)) - 1] * error)
