"""Held-out recovery of each method of selection, by the keys that it gives hidden documents and raw ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.methods import method_of
from dsir_core.model.classifier import fit_classifier
from dsir_core.model.smoothing import Smoothing
from dsir_core.resampling.keys import Ranking
from dsir_core.resampling.methods import keys_of
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recovery import GRID, Folded, Sample, folded, ranks_above
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import Rows
from dsir_core.resampling.weights_schema import odds_column

COLUMN = "log_weight"

TOLERANCE = 1e-6
"""Of the classifiers, which only order documents here: half of the time that a classifier to select by takes."""

Floats = npt.NDArray[np.float64]


def measure_methods(
    sample: Sample, smoothing: Smoothing, scaling: WeightScaling, methods: Sequence[str], seed: int
) -> list[Ranks] | None:
    """The ranks of the target's hidden documents under each method, on the same folds.

    The classifier of heuristic methods is fitted for each fold on the other folds and the sample of raw. Noise is
    drawn once for each document, hidden or raw, and is the same in all folds.

    Args:
        sample: of target and raw.
        smoothing: of the n-gram weights.
        scaling: of the n-gram weights.
        methods: names.
        seed: of the noise.

    Returns:
        None where nothing can be measured, see `folded`.
    """
    found = folded(sample)
    if found is None:
        return None
    above = np.full((len(methods), len(found.folds)), -1, np.int64)
    of_target, of_raw = (sums.astype(np.float64) * GRID for sums in found.log_weights(smoothing))
    for fold in range(of_raw.shape[1]):
        hidden = found.hidden(fold)
        odds: tuple[Floats | None, Floats | None] = (None, None)
        if any(method_of(method).uses_classifier for method in methods):
            odds = _log_odds(sample, found, fold)
        of_hidden, others = (
            _rows("hidden", found.target_order[hidden], of_target[hidden], found.target_tokens[hidden], odds[0]),
            _rows("raw", found.raw_order, of_raw[:, fold], found.raw_tokens, odds[1]),
        )
        for index, method in enumerate(methods):
            ranking = Ranking(method, seed, 0, COLUMN, scaling)
            above[index, hidden] = ranks_above(keys_of(of_hidden, ranking), keys_of(others, ranking))
    return [Ranks(one, len(found.raw_tokens)) for one in above]


def _log_odds(sample: Sample, found: Folded, fold: int) -> tuple[Floats, Floats]:
    """Of the hidden documents of a fold, and of the eligible raw ones, by a classifier that has not seen the former."""
    buckets = len(found.raw_counts)
    classifier = fit_classifier(sample.target.take(np.flatnonzero(found.folds != fold)), sample.raw, buckets, TOLERANCE)
    coefficients, intercept = classifier.coefficients[0], classifier.intercepts[0]

    def log_odds(counts: Any) -> Floats:
        totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        return np.asarray(counts @ coefficients / totals + intercept, np.float64)

    return log_odds(found.target[found.hidden(fold)]), log_odds(found.raw)


def _rows(
    name: str,
    order: npt.NDArray[np.uint64],
    log_weights: Floats,
    n_tokens: npt.NDArray[np.int32],
    log_odds: Floats | None,
) -> Rows:
    """Rows whose noise follows from `order`, the hashes of the documents' places, in a stream called `name`."""
    n = len(log_weights)
    columns = {COLUMN: np.asarray(log_weights, np.float64)}
    if log_odds is not None:
        columns[odds_column(COLUMN)] = log_odds
    return Rows(np.zeros(n, np.int32), [name], order.view(np.int64), n_tokens, columns)
