"""Whole selections in a simulated world, driven by one seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dsir_core.checkpoints.kinds import KINDS
from dsir_core.errors import DsirError
from tests.simulation.checks import check_clean, check_outputs, check_receipts
from tests.simulation.executor import Mishaps, SimulatedExecutor
from tests.simulation.selections import VARIANTS, corpus, inside, output_files, plain, request, run
from tests.simulation.world import Process, Rates, World

ACCOUNT = ("raw", "selected", "rejected", "ineligible", "excluded", "bad")
LONGEST = 320
"""Steps that an undisturbed run takes, about; the last of them are those at the output."""


@dataclass
class Story:
    """What a seed has led to."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    phases: list[str] = field(default_factory=list)


def simulate(seed: int) -> Story:
    """Run selections under faults until one is left alone, and check all that is promised."""
    rng = random.Random(seed)
    world = World(seed)
    story = Story(seed, world.counts)
    corpus(world)
    variants = {output: rng.randrange(len(VARIANTS)) for output in ("out", "other")}
    for variant in range(len(VARIANTS)):
        plain(variant)
    with inside(world):
        if rng.random() < 0.5:
            _stands(world, rng.randrange(len(VARIANTS)))
        world.changed = lambda name: None if name.startswith("bucket/work/") else check_outputs(world)
        for _ in range(rng.choice((1, 1, 2))):
            if rng.random() < 0.3:
                variants["out"] = rng.randrange(len(VARIANTS))
            world.rates = _rates(rng)
            _phase(world, rng, variants, story)
            if rng.random() < 0.3:
                _rot(world, rng)
        world.quiet()
        for output in sorted({phase.split()[0] for phase in story.phases}):
            _last(world, rng, variants[output], output)
        world.process = Process()
        check_receipts(world)
        check_clean(world)
    return story


def _stands(world: World, variant: int) -> None:
    """Let a complete selection stand at the output, and what it has left in the workdir."""
    for name, data in plain(variant).everything.items():
        world.put(f"bucket/{name}", data)


def _rot(world: World, rng: random.Random) -> None:
    """Damage a few checkpoints or receipts, as a disk may."""
    folders = tuple(f"bucket/work/{kind.folder}/" for kind in KINDS if kind.has_receipt)
    names = sorted(name for name in world.objects if name.startswith(folders) and not name.endswith(".current"))
    for name in rng.sample(names, min(len(names), 3)):
        data = world.objects[name].data
        at = rng.randrange(len(data))
        cut = rng.random() < 0.5
        world.put(name, data[:at] if cut else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        world.counts["rot"] += 1


def _rates(rng: random.Random) -> Rates:
    rates = {kind: rng.choice((0.02, 0.1)) for kind in ("reset", "lost_answer", "torn", "late") if rng.random() < 0.4}
    return Rates(**rates, stale=rng.choice((0.0, 0.0, 0.4)))


def _mishaps(rng: random.Random) -> Mishaps:
    often = {
        kind: rng.choice((0.05, 0.2)) for kind in ("twice", "lost", "worker_dies", "straggles") if rng.random() < 0.5
    }
    return Mishaps(**often, fails=0.1 if rng.random() < 0.2 else 0.0)


def _phase(world: World, rng: random.Random, variants: dict[str, int], story: Story) -> None:
    outputs = ["out", "other"] if rng.random() < 0.3 else ["out"]

    def start(output: str) -> Any:
        process = Process()
        how = rng.random()
        if how < 0.5:
            process.die_at = rng.choice((rng.randrange(LONGEST), rng.randrange(200, LONGEST)))
        elif how < 0.7:
            begin = rng.choice((rng.randrange(LONGEST), rng.randrange(200, LONGEST)))
            process.outage = range(begin, begin + rng.randint(5, 40))
        elif how < 0.8:
            process.fail_at = rng.choice((rng.randrange(LONGEST), rng.randrange(200, LONGEST)))
        settings = request(variants[output], output, overwrite=rng.random() < 0.8)
        executor = SimulatedExecutor(world, _mishaps(rng))
        return lambda: outcomes.update({output: run(world, settings, executor, process)})

    outcomes: dict[str, Any] = {}
    failures: list[BaseException] = []

    def guarded(function: Any) -> Any:
        def call() -> None:
            try:
                function()
            except BaseException as error:
                failures.append(error)

        return call

    world.turns.run([guarded(start(output)) for output in outputs])
    if failures:
        raise failures[0]
    for output in outputs:
        outcome = outcomes[output]
        told = "died" if outcome is None else f"failed: {outcome}" if isinstance(outcome, DsirError) else "complete"
        story.phases.append(f"{output} {told}")


def _last(world: World, rng: random.Random, variant: int, output: str) -> None:
    """A run that is left alone gives what an undisturbed one gives."""
    wanted = plain(variant)
    outcome = run(
        world, request(variant, output, overwrite=True), SimulatedExecutor(world, Mishaps(0.1, 0.1)), Process()
    )
    if not isinstance(outcome, dict):
        raise AssertionError(f"a run that nothing disturbs failed: {outcome}") from outcome
    assert outcome["selection_digest"] == wanted.report["selection_digest"]
    assert outcome["documents"] == wanted.report["documents"]
    documents = outcome["documents"]
    assert documents["raw"] == sum(documents[key] for key in ACCOUNT[1:])
    found = output_files(world, output)
    assert sorted(found) == sorted(wanted.files), f"{sorted(found)} at the output"
    assert found == wanted.files
