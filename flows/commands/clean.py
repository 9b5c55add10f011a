"""`dsir clean WORKDIR`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections import Counter

from dsir_core.checkpoints.cleaning import plan_cleaning
from dsir_core.checkpoints.store import Store
from dsir_core.finished import workdir_of
from dsir_core.report.formatting import counted, human_bytes
from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of
from flows.parser import Parser

HOUR = 3600.0
TOLD_EVERY = 1000


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} WORKDIR|OUTPUT [options]"
    parser.add_argument("workdir", metavar="WORKDIR|OUTPUT", help="the workdir of one or more outputs, or one of these")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--hours", type=float, default=24.0, metavar="N", help="keep what is younger: a run may be under way [24]"
    )
    parser.add_argument(
        "--forget", nargs="+", default=[], metavar="OUTPUT", help="outputs whose runs need nothing any more"
    )
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    with storage_settings(storage_of(arguments)):
        store = Store(workdir_of(arguments.workdir))
        found = plan_cleaning(store, forget=arguments.forget, before=time.time() - arguments.hours * HOUR)
        kinds, stored = Counter[str](), Counter[str]()
        for entry in found.removable:
            kind = entry.name.partition("/")[0]
            kinds[kind] += 1
            stored[kind] += entry.size
        for kind in sorted(kinds):
            print(f"{kinds[kind]:>10,} files  {kind:<20}{human_bytes(stored[kind]):>10}")
        for n, entry in enumerate([] if arguments.dry_run else found.removable):
            store.remove(entry.name)
            if n % TOLD_EVERY == TOLD_EVERY - 1 and sys.stderr.isatty():
                print(f"\r{n + 1:,} of {len(found.removable):,} removed", end="", file=sys.stderr, flush=True)
    words = "would be removed" if arguments.dry_run else "removed"
    total = f"{len(found.removable):,} of {counted(found.n_files, 'file')} {words}, {human_bytes(stored.total())}"
    print(f"{store.redacted}: {total}; what the last runs to {counted(len(found.kept), 'output')} need is kept")
    if found.young:
        size = human_bytes(sum(entry.size for entry in found.young))
        print(
            f"{counted(len(found.young), 'file')} more, {size}, that no run needs are younger than "
            f"{arguments.hours:g} hours: --hours 0 removes them, if no run is under way"
        )
    for one in found.kept:
        # A run that is under way, or was interrupted, has no output yet.
        if one.ended and one.output and "://" not in one.output and not os.path.exists(one.output):
            print(f"{one.output} is gone: --forget {shlex.quote(one.output)} removes what its last run needed")
    return 0
