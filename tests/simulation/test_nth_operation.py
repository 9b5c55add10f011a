"""The n-th operation fails, for every n of a small run: a named failure or success, and then the same bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsir_core.errors import DsirError
from tests.simulation.checks import check_outputs, check_receipts
from tests.simulation.executor import Mishaps, SimulatedExecutor
from tests.simulation.selections import corpus, inside, output_files, plain, request, run
from tests.simulation.world import Process, World

KINDS: dict[str, Callable[[int], Process]] = {
    "is refused": lambda n: Process(fail_at=n),
    "is the last of its process": lambda n: Process(die_at=n),
    "begins an outage": lambda n: Process(outage=range(n, n + 30)),
}


pytestmark = pytest.mark.long


@pytest.mark.parametrize("replaces", [False, True], ids=["first", "replaces"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_may_fail(kind: str, replaces: bool) -> None:
    wanted, before = plain(1), plain(0)
    n = 0
    while True:
        world = World(0)
        corpus(world)
        with inside(world):
            if replaces:
                for name, data in before.everything.items():
                    world.put(f"bucket/{name}", data)
            process = KINDS[kind](n)
            outcome = run(world, request(1, "out", overwrite=True), SimulatedExecutor(world, Mishaps()), process)
            assert outcome is None or isinstance(outcome, dict | DsirError)
            check_outputs(world)
            happened = sum(world.counts.values())
            again = run(world, request(1, "out", overwrite=True), SimulatedExecutor(world, Mishaps()), Process())
            assert isinstance(again, dict), f"after operation {n}, {world.operations[n]}: {again}"
            assert output_files(world, "out") == wanted.files, f"after operation {n}, {world.operations[n]}"
            assert again["documents"] == wanted.report["documents"]
            check_receipts(world)
        if not happened:
            break
        n += 1
    assert n > 100
