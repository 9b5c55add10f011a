"""`make bench`: build corpora, measure, print one table, write it as JSON.

    python -m benchmarks.run [--only a,b,...] [--scale 1.0] [--folder runs/bench]

Ratios are what counts: a machine that does other things moves all figures of a row together.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import kernels, runs
from benchmarks.measure import on_one_core
from dsir_core.config.features import FeatureSettings
from dsir_core.corpus.formats import jsonl
from dsir_core.features import warm_up

MB, GB = 10**6, 10**9
Row = dict[str, Any]
ONE_CORE = "ahikl"


def sections(folder: Path, scale: float) -> dict[str, tuple[str, Callable[[], Iterator[Row]]]]:
    """Title and function of each section."""

    def size(n_bytes: int) -> int:
        return int(n_bytes * scale)

    return {
        "b": (
            "whole run against the reference",
            lambda: runs.against_reference(folder, (size(GB), size(3400 * MB)), size(40 * MB)),
        ),
        "c": ("whole run against reading alone", lambda: runs.against_reading(folder, size(3400 * MB))),
        "d": ("one worker against two", lambda: runs.workers(folder, size(GB))),
        "e": ("peak memory by size", lambda: runs.memory(folder, (size(GB // 10), size(GB), size(3400 * MB)))),
        "f": ("fixed costs", lambda: runs.fixed_costs(folder)),
        "g": ("orchestration of many shards", lambda: runs.shards(folder, (size(100), size(1000), size(10_000)))),
        "j": ("one more file of 100, the model kept", lambda: runs.incremental(folder, size(GB), 100)),
        "a": ("kernels against the reference, one core", lambda: kernels.against_reference(folder, size(100 * MB))),
        "h": ("formats against the reference, one core", lambda: kernels.formats(folder, size(100 * MB))),
        "i": ("kinds of text, one core", lambda: kernels.kinds_of_text(folder, size(20 * MB))),
        "l": ("what the corpus is like", lambda: kernels.corpus_figures(folder, size(100 * MB))),
        "k": ("dials, by kind of text, one core", lambda: kernels.dials(folder, size(20 * MB))),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="letters of sections, as in a,c")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; 0.01 for a quick look")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="for corpora and the result")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    jsonl.warm_up()
    warm_up(FeatureSettings())
    found: dict[str, Any] = {
        "time": runs.now(),
        "machine": platform.processor() or platform.machine(),
        "cores": runs.N_CORES,
    }
    pinned = False
    for letter, (title, measure) in sections(chosen.folder, chosen.scale).items():
        if chosen.only and letter not in chosen.only.split(","):
            continue
        if letter in ONE_CORE and not pinned:
            on_one_core()
            pinned = True
        print(f"\n({letter}) {title}", flush=True)
        rows = []
        for row in measure():
            rows.append(row)
            print(line(row), flush=True)
        found[letter] = {"title": title, "rows": rows}
    path = chosen.folder / "result.json"
    path.write_text(json.dumps(found, indent=1))
    print(f"\nwritten to {path}")


def line(row: Row) -> str:
    """A row of the table."""
    cells = [f"{name} {value:,.2f}" for name, value in row.items() if isinstance(value, float)]
    return f"    {row['what']:<38} " + "   ".join(cells)


if __name__ == "__main__":
    main()
