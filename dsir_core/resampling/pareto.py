"""Heuristic classification, a baseline of the paper: a classifier's score decides, with noise.

A linear classifier of target against raw gives each document a probability, its *score*. It is kept if Pareto noise of
shape 9 is larger than 1 - score (Brown et al. 2020, appendix A; Gao et al. 2020; Chowdhery et al. 2022), or, in the
top-k form, if its score is among the largest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsir_core.model.logistic import probability
from dsir_core.model.noise import log_exact

PARETO_SHAPE = 9


def keep_probability(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The chance that Pareto noise is larger than 1 - score: (2 - score)^-9, float64[n] from 2^-9 to 1."""
    base = 2.0 - probability(log_odds)
    cube = base * base * base
    return np.asarray(1.0 / (cube * cube * cube), np.float64)


def pareto_keys(
    log_odds: npt.NDArray[np.float64], noise: npt.NDArray[np.float64], order: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Keys whose largest are what heuristic classification keeps, for any number of documents.

    A document has Pareto noise drawn again and again until it is kept: the paper's code does so when the first round
    keeps too few. With p the chance to be kept, the round is geometric, `1 + floor(ln(noise) / ln(1 - p))`. The key is
    `order` less the rounds before that one: documents of an earlier round come first, those of one round in random
    order. A key above 0 belongs to a document that the first round keeps.

    Args:
        log_odds: float64[n].
        noise, order: float64[n], uniform between 0 and 1, independent of each other.

    Returns:
        float64[n].
    """
    lost = 1.0 - keep_probability(log_odds)
    before = np.zeros(len(lost))
    some = lost > 0
    before[some] = np.floor(log_exact(noise[some]) / log_exact(lost[some]))
    return order - before
