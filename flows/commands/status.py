"""`dsir status WORKDIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dsir_core.checkpoints.kinds import COMPARISON, COUNTS, EXTRACT, KINDS, SELECTION, WEIGHTS
from dsir_core.checkpoints.manifest import Recorded, checkpoint_of, of_runs, recorded_runs
from dsir_core.checkpoints.store import Entry, Store
from dsir_core.errors import RequestError
from dsir_core.report.comparison import PAGE
from dsir_core.report.formatting import human_bytes
from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of

STAGES = {"count": COUNTS, "score": WEIGHTS, "resample": SELECTION, "write": EXTRACT}
STAGES_OF_COMPARISON = {"count": COUNTS, "score": WEIGHTS, "compare": COMPARISON}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument("workdir", metavar="WORKDIR", help="the workdir of a run (by default OUTPUT.work)")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    with storage_settings(storage_of(arguments)):
        store = Store(arguments.workdir)
        entries = of_runs(store.entries())
        runs = recorded_runs(store)
    if not entries:
        raise RequestError(f"{store.redacted}: no workdir there, or nothing in it yet")
    _print_kinds(entries)
    complete = {checkpoint_of(entry.name) for entry in entries if entry.name.endswith(".json")}
    for one in runs:
        _print_run(one, complete)
    sys.stdout.flush()
    return 0


def _print_kinds(entries: Sequence[Entry]) -> None:
    for kind in KINDS:
        mine = [entry for entry in entries if entry.name.startswith(f"{kind.folder}/")]
        complete = sum(entry.name.endswith(kind.complete_suffix) for entry in mine)
        print(f"{complete:>10,}  {kind.words:<52}{human_bytes(sum(entry.size for entry in mine)):>10}")
    print(f"{'':>10}  {'in all':<52}{human_bytes(sum(entry.size for entry in entries)):>10}")


def _print_run(one: Recorded, complete: set[str]) -> None:
    state = f"ended {one.ended}" if one.ended else f"begun {one.begun}, not complete"
    print(f"\n{one.output or 'weights only'}: {state}")
    stages = STAGES_OF_COMPARISON if one.output.endswith(f"/{PAGE}") else STAGES
    for stage, kind in stages.items():
        if stage not in one.needs:
            if not one.ended:  # a run for weights alone ends without the later stages
                print(f"  {stage:<9} not begun")
            continue
        needed = {name for name in one.needs[stage] if name.startswith(f"{kind.folder}/")}
        done = len(needed & complete)
        missing = f", {len(needed) - done:,} missing" if done < len(needed) else ""
        print(f"  {stage:<9}{done:>8,} of {len(needed):,} shards{missing}{_speed(one, stage)}")


def _speed(one: Recorded, stage: str) -> str:
    figures = one.stages.get(stage)
    if not figures or not figures["seconds"]:
        return ""
    reused = f", {figures['reused']:,} reused" if figures["reused"] else ""
    speed = f", {figures['bytes'] / figures['seconds'] / 1e6:,.0f} MB/s" if figures["bytes"] else ""
    return f", {figures['seconds']:.1f} s{speed}{reused}"
