"""Whole selections under simulated faults: the same bytes, or a named failure after which the next run goes on."""

from __future__ import annotations

import pytest

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


def test_a_seed_replays_exactly() -> None:
    assert simulate(3) == simulate(3)
