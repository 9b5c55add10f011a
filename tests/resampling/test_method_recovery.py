"""The recovery of methods that draw noise: each hidden document has noise of its own."""

from __future__ import annotations

import numpy as np
import pytest

from dsir_core.model.smoothing import DEFAULT
from dsir_core.resampling.method_recovery import measure_methods
from dsir_core.resampling.recovery import FOLDS
from dsir_core.resampling.scaling import REFERENCE
from tests.resampling.test_recovery import distributions, random_rows, sample_of

HIDDEN, RAW, SHARE, SEEDS = 60, 400, 0.25, 300


def test_random_selection_recovers_what_independent_draws_do() -> None:
    """The mean is the share that is selected; the variance that of one draw for each document, of raw as well."""
    rng = np.random.default_rng(0)
    p, q = distributions(rng)
    sample = sample_of(random_rows(rng, HIDDEN, p), random_rows(rng, RAW, q))
    found = []
    for seed in range(SEEDS):
        (ranks,) = measure_methods(sample, DEFAULT, REFERENCE, ["random"], seed) or []
        found.append(ranks.recovered(SHARE))
    variance = HIDDEN * SHARE * (1 - SHARE) * (1 + HIDDEN / RAW)
    assert np.mean(found) == pytest.approx(HIDDEN * SHARE, abs=4 * np.sqrt(variance / SEEDS))
    assert np.var(found) == pytest.approx(variance, rel=4 * np.sqrt(2 / SEEDS))
    assert sum(n % FOLDS == 0 for n in found) < SEEDS / 2


def test_noise_belongs_to_a_document_not_to_its_place_in_the_sample() -> None:
    rng = np.random.default_rng(1)
    p, q = distributions(rng)
    sample = sample_of(random_rows(rng, HIDDEN, p), random_rows(rng, RAW, q))
    (ranks,) = measure_methods(sample, DEFAULT, REFERENCE, ["random"], 0) or []
    places = rng.permutation(HIDDEN)
    shuffled = type(sample)(
        sample.target.take(places), sample.target_counts, sample.raw, sample.raw_counts, sample.ngrams, 0
    )
    (again,) = measure_methods(shuffled, DEFAULT, REFERENCE, ["random"], 0) or []
    assert np.array_equal(again.above, ranks.above[places])
