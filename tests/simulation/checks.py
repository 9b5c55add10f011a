"""What must hold in a simulated world, whatever has gone wrong."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from dsir_core.checkpoints.cleaning import plan_cleaning
from dsir_core.checkpoints.manifest import recorded_runs
from dsir_core.checkpoints.receipts import unsealed
from dsir_core.checkpoints.store import Store
from tests.simulation.selections import VARIANTS, WORKDIR, output_files, plain
from tests.simulation.world import World

NEVER = 2.0**40
"""Seconds since 1970, after all that is simulated."""


def check_outputs(world: World) -> None:
    """Where a report stands, the selection that it describes is there as it describes it."""
    for output in ("out", "other"):
        name = f"bucket/{output}/report.json"
        if name not in world.objects:
            continue
        described = described_files(world.objects[name].data)
        found = output_files(world, output) if described else {}
        for file, data in described.items():
            assert found.get(file) == data, f"report.json stands, but {output}/{file} is not what it describes"


@lru_cache(64)
def described_files(report: bytes) -> dict[str, bytes]:
    """The files that a report describes; none for a torn write, which no reader can take for a report."""
    try:
        found = json.loads(report)
    except ValueError:
        return {}
    return next(one.files for one in map(plain, range(len(VARIANTS))) if same_selection(one.report, found))


def same_selection(one: dict[str, Any], other: dict[str, Any]) -> bool:
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
