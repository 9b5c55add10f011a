"""Key functions of the methods of selection, whose entries stand in `dsir_core/config/methods.py`.

Each method has streams of noise of its own: selections by two methods have no more in common than what they go by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsir_core.config.functions import function_named
from dsir_core.config.methods import method_of
from dsir_core.resampling.pareto import keep_probability, pareto_keys
from dsir_core.resampling.weight_rows import Rows
from dsir_core.resampling.weights_schema import odds_column

if TYPE_CHECKING:
    from dsir_core.resampling.keys import Ranking

Floats = npt.NDArray[np.float64]


def keys_of(rows: Rows, ranking: Ranking) -> Floats:
    """Keys of documents under a ranking: float64[n]."""
    found: Floats = function_named(method_of(ranking.method).keys)(rows, ranking)
    return found


def log_chances_of(rows: Rows, ranking: Ranking) -> Floats | None:
    """Log of what the chances of documents are in proportion to, float64[n]; None for a method without chance."""
    name = method_of(ranking.method).chances
    return function_named(name)(rows, ranking) if name is not None else None


def note_of(method: str, selector: str, thresholds: Sequence[float]) -> str | None:
    """What a run should know of a selector's thresholds; None where there is nothing to say.

    Args:
        thresholds: the smallest keys that are chosen.
    """
    name = method_of(method).note
    return function_named(name)(selector, thresholds) if name is not None else None


def importance_keys(rows: Rows, ranking: Ranking) -> Floats:
    """Log weights (for length and temperature) and Gumbel noise."""
    return importance_chances(rows, ranking) + rows.noise(ranking.seed, ranking.target)


def importance_chances(rows: Rows, ranking: Ranking) -> Floats:
    """Log weights for length and temperature."""
    return ranking.spread.scaled(rows.log_weights[ranking.column], rows.n_tokens)


def top_k_keys(rows: Rows, ranking: Ranking) -> Floats:
    """Log weights for length."""
    return ranking.spread.normalised(rows.log_weights[ranking.column], rows.n_tokens)


def random_keys(rows: Rows, ranking: Ranking) -> Floats:
    """Uniform noise between 0 and 1."""
    return rows.uniform("random", ranking.seed, ranking.target)


def equal_chances(rows: Rows, ranking: Ranking) -> Floats:
    """The same for all documents."""
    return np.zeros(len(rows))


def heuristic_keys(rows: Rows, ranking: Ranking) -> Floats:
    """See `pareto_keys`."""
    noise, order = (rows.uniform(stream, ranking.seed, ranking.target) for stream in ("pareto", "order"))
    return pareto_keys(heuristic_top_k_keys(rows, ranking), noise, order)


def heuristic_chances(rows: Rows, ranking: Ranking) -> Floats:
    """Log of the chance to be kept by one round of Pareto noise."""
    return np.asarray(np.log(keep_probability(heuristic_top_k_keys(rows, ranking))))


def heuristic_top_k_keys(rows: Rows, ranking: Ranking) -> Floats:
    """Log odds of the classifier."""
    return rows.log_weights[odds_column(ranking.column)]


def note_rounds(selector: str, thresholds: Sequence[float]) -> str | None:
    """Where Pareto noise had to be drawn more than once (see `pareto_keys`)."""
    rounds = max((math.ceil(1 - key) for key in thresholds if math.isfinite(key)), default=1)
    if rounds <= 1:
        return None
    return (
        f"the Pareto noise of the method heuristic keeps fewer documents for {selector!r} than were asked for, so it "
        f"was drawn {rounds:,} times, each time for those not kept before"
    )
