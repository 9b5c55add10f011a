"""Temperature and length change what is sampled by; a wanted effective sample size is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.model.metrics import WeightSums
from dsir_core.model.noise import gumbel
from dsir_core.resampling.keys import Ranking
from dsir_core.resampling.methods import keys_of
from dsir_core.resampling.scaling import REFERENCE, WeightScaling, find_temperature
from dsir_core.resampling.weight_rows import Rows

RNG = np.random.default_rng(0)


def rows(n: int) -> Rows:
    log_weights = RNG.normal(scale=100, size=n)
    tokens = RNG.integers(0, 3000, n).astype(np.int32)
    return Rows(np.zeros(n, np.int32), ["a"], np.arange(n), tokens, {"log_weight": log_weights})


@pytest.mark.parametrize("temperature", [0.5, 1.0, 30.0])
@pytest.mark.parametrize("length", ["none", "tokens", "sqrt"])
def test_keys_are_preferences_and_noise(temperature: float, length: str) -> None:
    some = rows(500)
    spread = WeightScaling(temperature, length, typical=800.0)  # type: ignore[arg-type]
    shorter = 800.0 / np.maximum(some.n_tokens, 1)
    factor = {"none": 1.0, "tokens": shorter, "sqrt": np.sqrt(shorter)}[length]
    expected = some.log_weights["log_weight"] * factor
    keys = keys_of(some, Ranking("importance", 3, 0, "log_weight", spread))
    assert np.allclose(keys, expected / temperature + gumbel(some.positions, 3, 0, "a"), rtol=1e-12)
    assert np.array_equal(keys_of(some, Ranking("top-k", 3, 0, "log_weight", spread)), expected)


def test_the_defaults_change_no_bit() -> None:
    some = rows(100)
    assert REFERENCE.scaled(some.log_weights["log_weight"], some.n_tokens) is some.log_weights["log_weight"]


@given(
    st.lists(st.integers(-500, 500), min_size=3, max_size=60, unique=True),
    st.floats(0.1, 0.99),
)
def test_the_temperature_found_gives_the_wanted_size(log_weights: list[int], share: float) -> None:
    weights = np.array(log_weights, np.float64)

    def sizes(temperatures: Sequence[float]) -> tuple[list[float], int]:
        return [WeightSums.of(weights / t).effective_sample_size for t in temperatures], len(weights)

    wanted = max(1.0, share * len(weights))
    temperature = find_temperature(share, sizes)
    assert temperature == float(f"{temperature:.4g}")
    (below, above), _ = sizes([temperature * 0.999, temperature * 1.001])
    assert below <= wanted * 1.001
    assert above >= wanted * 0.999


@pytest.mark.parametrize(
    ("log_weights", "share"),
    [
        (np.concatenate([np.full(28, 5.3), RNG.normal(-300, 100, 72)]), 0.28),  # 28 weigh the same, the others nothing
        (RNG.normal(0, 1e-5, 1603), 1.0),
        (np.full(11, 0.1), 0.5),
    ],
)
def test_where_many_temperatures_give_the_size_the_one_found_does_not_depend_on_shards(
    log_weights: np.ndarray, share: float
) -> None:
    found = set()
    for n_shards in (1, 2, 3, 7, 20):

        def sizes(temperatures: Sequence[float], n_shards: int = n_shards) -> tuple[list[float], int]:
            totals = [WeightSums() for _ in temperatures]
            for part in np.array_split(log_weights, n_shards):
                totals = [total.merge(WeightSums.of(part / t)) for total, t in zip(totals, temperatures, strict=True)]
            return [total.effective_sample_size for total in totals], len(log_weights)

        found.add(find_temperature(share, sizes))
    assert len(found) == 1
