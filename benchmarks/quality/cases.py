"""The cases of the smaller benchmarks, each kind of each pool as the target, and a command that measures them all."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.quality.experiments import KINDS, of_kind
from benchmarks.quality.trial import Trial, forget


def cases(draws: int) -> list[Trial]:
    """Each kind of each pool as the target: all of its documents, and ten of them."""
    asks = [of_kind(pool, kind, n) for n in (0, 10) for pool, kinds in KINDS.items() for kind in kinds]
    return [Trial(ask, "{}", draw) for draw in range(draws) for ask in asks]


def measure_cases(
    prog: str, description: str | None, measure: Callable[[Trial, Path], dict[str, Any]], result: str
) -> list[dict[str, Any]]:
    """Read the command line, measure all cases, and write what was found.

    Args:
        prog: name of the command.
        description: its help.
        measure: a case in a folder of pools.
        result: name of the JSON file in that folder.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1, help="how often each is tried, with other targets and seeds")
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"), help="for packages, pools and the result")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    forget(chosen.folder)
    asked = track(cases(chosen.draws), "cases", console=Console(stderr=True))
    found = [measure(trial, chosen.folder) for trial in asked]
    (chosen.folder / result).write_text(json.dumps(found, indent=1), encoding="utf-8")
    forget(chosen.folder)
    return found
