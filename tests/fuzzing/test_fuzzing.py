"""Inputs that once broke a promise, and a few hundred mutations of valid ones for each target."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest

from tests.fuzzing.mutations import mutate
from tests.fuzzing.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
KEPT = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*"))
N_CASES = 200


@pytest.mark.parametrize("name", KEPT)
def test_what_was_found_once(name: str) -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        TARGETS[name.partition("/")[0]].check([(CORPUS / name).read_bytes()])
    assert not warned


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_read_or_refused(name: str) -> None:
    target, rng = TARGETS[name], random.Random(0)
    seeds = target.seeds()
    assert target.check(seeds) > 0, "no seed is accepted"
    target.check([mutate(rng, rng.choice(seeds), target.words, seeds) for _ in range(N_CASES)])
