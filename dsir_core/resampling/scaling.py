"""How log weights are scaled: by length, by temperature, and the temperature that gives an effective sample size.

`key = scaled + Gumbel(0, 1)`, where `scaled = log_weight * factor / temperature`. The factor is 1, or with length
normalisation `typical / tokens` or its square root. A factor for the target's typical length keeps the weights in nats
of a whole document, so that temperature 1 means the same with and without length normalisation. On full-length
documents log weights differ by hundreds of nats: the effective sample size is near 1, and noise changes next to
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.settings import LengthNormalise
from dsir_core.model.noise import exp_exact, log_exact

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
    typical: float = 1.0
    """Tokens of a typical document of the target: length-normalised weights are those of a document of this length."""

    def normalised(
        self, log_weights: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float64]:
        """float64[n]: log weights for their length alone; what top-k goes by.

        Args:
            log_weights: float64[n]. n_tokens: int32[n].
        """
        if self.length == "none":
            return log_weights
        factor = self.typical / np.maximum(n_tokens, 1).astype(np.float64)
        return log_weights * (factor if self.length == "tokens" else np.sqrt(factor))

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
    low, high = log_exact(np.array([LOWEST, HIGHEST]))
    while high - low > 10.0**-DIGITS:
        grid = np.linspace(low, high, STEPS + 2)
        found, n = sizes(exp_exact(grid[1:-1]).tolist())
        at = int(np.searchsorted(found, share * n * (1 - PLATEAU)))
        low, high = grid[at], grid[at + 1]
    return float(f"{float(exp_exact(np.array([high]))[0]):.{DIGITS}g}")
