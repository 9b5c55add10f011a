"""`dsir status WORKDIR`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from dsir_core.errors import RequestError
from dsir_core.store import Store

KINDS = {
    "counts": "shards counted",
    "model": "models",
    "weights": "shards scored",
    "selection": "shards resampled",
    "extract": "shards whose records are taken",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument("workdir", metavar="WORKDIR", help="the workdir of a run (by default OUTPUT.work)")


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    names = Store(arguments.workdir).names()
    if not names:
        raise RequestError(f"{arguments.workdir}: no workdir there, or nothing in it yet")
    complete = Counter(name.partition("/")[0] for name in names if name.endswith(".json"))
    for kind, words in KINDS.items():
        print(f"{complete[kind]:>8,}  {words}")
    quarantined = [name for name in names if name.startswith("quarantine/")]
    print(f"{len(quarantined):>8,}  shards with bad records (listed in {arguments.workdir}/quarantine/)")
    sys.stdout.flush()
    return 0
