"""`dsir status WORKDIR`."""

from __future__ import annotations

import argparse
import sys

from dsir_core.checkpoints.status import RunStatus, StageStatus, workdir_status
from dsir_core.checkpoints.store import Store
from dsir_core.finished import workdir_of
from dsir_core.report.comparison import PAGE
from dsir_core.report.formatting import counted, human_bytes
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import without_credentials
from flows.options import add_storage_options, storage_of
from flows.parser import Parser

STAGES = ("count", "score", "resample", "write")
STAGES_OF_COMPARISON = ("count", "score", "compare")


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} WORKDIR|OUTPUT [options]"
    parser.add_argument("workdir", metavar="WORKDIR|OUTPUT", help="the workdir of a run, or its output")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    with storage_settings(storage_of(arguments)):
        workdir = workdir_of(arguments.workdir)
        found = workdir_status(Store(workdir))
    if workdir != arguments.workdir:
        print(f"workdir {without_credentials(workdir)}")
    for kind in found.kinds:
        print(f"{kind.complete:>10,}  {kind.kind.words:<52}{human_bytes(kind.n_bytes):>10}")
    print(f"{'':>10}  {'in all':<52}{human_bytes(found.n_bytes):>10}")
    for one in found.runs:
        _print_run(one)
    sys.stdout.flush()
    return 0


def _print_run(one: RunStatus) -> None:
    run = one.run
    state = f"ended {run.ended}" if run.ended else f"begun {run.begun}, not complete"
    print(f"\n{run.output or 'weights only'}: {state}")
    begun = {status.stage: status for status in one.stages}
    for stage in STAGES_OF_COMPARISON if run.output.endswith(f"/{PAGE}") else STAGES:
        if stage in begun:
            _print_stage(begun[stage])
        elif not run.ended:  # a run for weights alone ends without the later stages
            print(f"  {stage:<9} not begun")


def _print_stage(one: StageStatus) -> None:
    missing = f", {one.needed - one.complete:,} missing" if one.complete < one.needed else ""
    speed = f", {one.seconds:.1f} s" if one.seconds else ""
    if one.seconds and one.n_bytes:
        speed += f", {one.n_bytes / one.seconds / 1e6:,.0f} MB/s"
    if one.seconds and one.reused:
        speed += f", {one.reused:,} reused"
    print(f"  {one.stage:<9}{one.complete:>8,} of {counted(one.needed, 'shard')}{missing}{speed}")
