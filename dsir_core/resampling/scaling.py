"""How log weights become preferences: length, temperature, and the temperature that gives an effective sample size.

`preference = log_weight / length / temperature`, and `key = preference + Gumbel(0, 1)`. On full-length documents log
weights differ by hundreds of nats, so that one document has nearly all the weight (effective sample size 1); a larger
temperature spreads the choice. The defaults, 1 and none, are the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.settings import LengthNormalise

STEPS = 16
"""Temperatures tried in one pass over the weights."""

LOWEST, HIGHEST = 2.0**-10, 2.0**30
PLATEAU = 1e-9
"""Relative difference of effective sample sizes that are the same: where many temperatures give one, sums of floats
must not choose between them."""

DIGITS = 4
"""Significant digits of a temperature that is found: sums of floats may differ in the last bits by how they are cut."""


@dataclass(frozen=True)
class WeightScaling:
    """What a target's log weights are divided by."""

    temperature: float = 1.0
    length: LengthNormalise = "none"

    def normalised(
        self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float64]:
        """float64[n]: log weights for their length alone; what top-k goes by.

        Args:
            log_weights: float64[n]. n_tokens: int32[n].
        """
        if self.length == "none":
            return log_weights
        tokens = np.maximum(n_tokens, 1).astype(np.float64)
        return log_weights / (tokens if self.length == "tokens" else np.sqrt(tokens))

    def scaled(self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """float64[n]: log weights for length and temperature; what is sampled by."""
        plain = self.normalised(log_weights, n_tokens)
        return plain if self.temperature == 1.0 else plain / self.temperature


REFERENCE = WeightScaling()


def find_temperature(share: float, sizes: Callable[[Sequence[float]], tuple[list[float], int]]) -> float:
    """The temperature at which the effective sample size is a share of the eligible documents, to four digits.

    The effective sample size grows with the temperature, from 1 to all documents.

    Args:
        share: above 0, at most 1.
        sizes: effective sample sizes at some temperatures, and the number of eligible documents: a pass over weights.
    """
    low, high = LOWEST, HIGHEST
    while high / low > 1 + 10.0**-DIGITS:
        grid = np.geomspace(low, high, STEPS + 2)
        found, n = sizes([float(t) for t in grid[1:-1]])
        at = int(np.searchsorted(found, share * n * (1 - PLATEAU)))
        low, high = float(grid[at]), float(grid[at + 1])
    return float(f"{high:.{DIGITS}g}")
