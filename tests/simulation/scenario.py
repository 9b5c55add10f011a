"""Whole selections in a simulated world, driven by one seed; what must hold after each."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.cleaning import plan_cleaning
from dsir_core.checkpoints.kinds import KINDS
from dsir_core.checkpoints.manifest import recorded_runs
from dsir_core.checkpoints.receipts import unsealed
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import DsirError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.shards import score
from dsir_core.stages.run import Run
from dsir_core.storage import ranges, retries
from tests.simulation.executor import Mishaps, SimulatedExecutor
from tests.simulation.world import ROOT, Process, ProcessDied, Rates, SimulatedFileSystem, World

WORDS = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]
WORKDIR = f"{ROOT}/work"
ACCOUNT = ("raw", "selected", "rejected", "ineligible", "excluded", "bad")
LONGEST = 320
"""Steps that an undisturbed run takes, about; the last of them are those at the output."""
NEVER = 2.0**40
"""Seconds since 1970, after all that is simulated."""

VARIANTS: tuple[dict[str, Any], ...] = (
    {"count": 5},
    {"count": 7, "method": "top-k"},
    {"tokens": 40, "seed": 3},
    {"fraction": 0.4, "chunk": {"words": 4}},
    {"count": 6, "separate": True},
)
"""Requests, beside what all have."""


@dataclass
class Plain:
    """What an undisturbed run gives."""

    files: dict[str, bytes]
    """Of the output, without reports."""
    report: dict[str, Any]
    everything: dict[str, bytes]
    """All objects of its world by name, without the bucket's."""


@dataclass
class Story:
    """What a seed has led to."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    phases: list[str] = field(default_factory=list)


def corpus(world: World) -> None:
    """Put the corpora into a world: raw files of two formats with one bad record, and two targets."""
    rng = random.Random(7)

    def texts(words: list[str], n: int) -> list[str]:
        return [" ".join(rng.choices(words, k=16)) for _ in range(n)]

    def lines(words: list[str], n: int) -> bytes:
        return "".join(json.dumps({"text": text}) + "\n" for text in texts(words, n)).encode()

    world.put("bucket/raw/0.jsonl", lines(WORDS, 13))
    world.put("bucket/raw/1.jsonl", lines(WORDS, 13) + b"{bad\n")
    table = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts(WORDS, 8), "n": list(range(8))}), table)
    world.put("bucket/raw/2.parquet", table.getvalue().to_pybytes())
    world.put("bucket/targets/one.jsonl", lines(WORDS[:4], 4))
    world.put("bucket/targets/two.jsonl", lines(WORDS[3:6], 3))


def request(variant: int, output: str, **more: Any) -> dict[str, Any]:
    """A request over the corpora, as settings."""
    targets = {"one": f"{ROOT}/targets/one.jsonl", "two": f"{ROOT}/targets/two.jsonl"}
    places = {"raw": f"{ROOT}/raw", "target": targets, "output": f"{ROOT}/{output}", "workdir": WORKDIR}
    return {
        **places,
        "min_tokens": 1,
        "buckets": 64,
        "shard_bytes": 1024,
        "max_bad_fraction": 0.5,
        **VARIANTS[variant],
        **more,
    }


@contextmanager
def inside(world: World) -> Iterator[None]:
    """Let storage be a world's, without waiting, threads and pages."""
    pa.set_io_thread_count(1)
    SimulatedFileSystem.world = world
    score.load_model.cache_clear()  # what a process has loaded would spare it operations
    with (
        mock.patch.object(retries._RETRYING, "sleep"),
        mock.patch.object(ranges, "_POOL", _Here()),
        mock.patch("dsir_core.stages.report.render", return_value="page"),
    ):
        yield


class _Here:
    """A pool without threads."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        future: Any = ranges.Future()
        future.set_result(function(*arguments))
        return future


def run(
    world: World, settings: dict[str, Any], executor: Executor, process: Process
) -> dict[str, Any] | DsirError | None:
    """One run in a process: its report, its error, or None where the process died."""
    world.process = process
    try:
        return select(Run(parse_config(settings), executor))
    except DsirError as error:
        return error
    except ProcessDied:
        return None


@cache
def plain(variant: int) -> Plain:
    """What a variant gives where nothing goes wrong."""
    world = World(0)
    corpus(world)
    with inside(world):
        report = run(world, request(variant, "out"), InlineExecutor(), Process())
    assert isinstance(report, dict), report
    everything = {name.removeprefix("bucket/"): one.data for name, one in world.objects.items()}
    return Plain(output_files(world, "out"), report, everything)


def output_files(world: World, output: str) -> dict[str, bytes]:
    """Files of an output but the reports, which hold times."""
    start = f"bucket/{output}/"
    found = {name.removeprefix(start): one.data for name, one in world.objects.items() if name.startswith(start)}
    return {name: data for name, data in found.items() if not name.startswith("report.")}


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
        world.changed = lambda: check_outputs(world)
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


def check_outputs(world: World) -> None:
    """Where a report stands, the selection that it describes is there as it describes it."""
    for output in ("out", "other"):
        name = f"bucket/{output}/report.json"
        if name not in world.objects:
            continue
        try:
            report = json.loads(world.objects[name].data)
        except ValueError:
            continue  # a torn write, which no reader can take for a report
        whole = next(p for p in map(plain, range(len(VARIANTS))) if same_request(p.report, report))
        found = output_files(world, output)
        for file, data in whole.files.items():
            assert found.get(file) == data, f"report.json stands, but {output}/{file} is not what it describes"


def same_request(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two reports are of the same selection."""
    return bool(one["selection_digest"] == other["selection_digest"] and one["parts"] == other["parts"])


def check_receipts(world: World) -> None:
    """Each receipt that the last runs need tells the truth about its data."""
    needed = {name for one in recorded_runs(Store(WORKDIR)) for name in one.names()}
    for name in needed:
        receipt_object = world.objects.get(f"bucket/work/{name}.json")
        if receipt_object is None:
            continue
        receipt = unsealed(receipt_object.data)
        assert receipt is not None, f"{name}: the receipt is damaged"
        data = world.objects[f"bucket/work/{receipt.name}"].data
        assert hashlib.sha256(data).hexdigest() == receipt.sha256, f"{name}: the receipt does not tell the truth"


def check_clean(world: World) -> None:
    """Clean leaves what the last runs need, and nothing once they are forgotten."""
    store = Store(WORKDIR)
    kept = {name for one in recorded_runs(store) for name in one.names()}
    for entry in plan_cleaning(store, forget=[], before=NEVER).removable:
        store.remove(entry.name)
    left = [entry.name for entry in store.entries()]
    for name in left:
        folder, _, file = name.rpartition("/")
        assert folder.startswith("runs/") or f"{folder}/{file[:64]}" in kept, f"{name} is left by clean"
    outputs = [one.output for one in recorded_runs(store)]
    for entry in plan_cleaning(store, forget=outputs, before=NEVER).removable:
        store.remove(entry.name)
    assert store.names() == [], "clean leaves files of forgotten runs"
