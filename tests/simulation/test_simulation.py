"""Whole selections under simulated faults: the same bytes, or a named failure after which the next run goes on."""

from __future__ import annotations

import pytest

from tests.simulation import executor
from tests.simulation.dialogs import Dialogs
from tests.simulation.scenario import simulate

N_SEEDS = 100
PER_TEST = 25


@pytest.mark.parametrize("first", range(0, N_SEEDS, PER_TEST))
def test_a_selection_is_the_same_whatever_goes_wrong_on_the_way(first: int) -> None:
    for seed in range(first, min(first + PER_TEST, N_SEEDS)):
        try:
            simulate(seed)
        except BaseException as error:
            error.add_note(f"replay with: python -m tests.simulation {seed}")
            raise


@pytest.mark.parametrize("seed", [0, 13])
def test_a_seed_replays_exactly_whatever_was_simulated_before(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 0 has two runs side by side, seed 13 damaged checkpoints as well."""
    after_others = simulate(seed)
    monkeypatch.setattr(executor, "DIALOGS", Dialogs())
    assert simulate(seed) == after_others
