"""Whether the number of documents that raw seems to hold of the target's kind is the number that it holds.

    python -m benchmarks.quality.sizing [--draws 1] [--folder runs/quality]

Takes some minutes on two cores; needs the pools of `make quality`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.quality.pools import load
from benchmarks.quality.recommending import cases
from benchmarks.quality.trial import Trial, forget, request_of
from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.report.recovery import likely_documents, positive_documents
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run

NEAR = 1.5
"""An estimate is near where it is off by no more than this factor."""


def sized(trial: Trial, folder: Path) -> dict[str, Any]:
    """What a selection says of the documents like its target in raw, and how many there are."""
    pool = load(trial.ask.pool, folder)
    with tempfile.TemporaryDirectory() as output:
        request = request_of(trial, pool, folder) | {"output": f"{output}/selection"}
        report = select(Run(parse_config(request), InlineExecutor()))
    ((name, recovery),) = report["recovery"].items()
    positive = positive_documents(report, name)
    return {
        "pool": trial.ask.pool,
        "target": dict(trial.ask.documents),
        "held": request["count"],
        "positive": positive,
        "knee": likely_documents(recovery),
        "both": likely_documents(recovery, positive),
    }


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By estimate: the median of it to what is held, and the share of cases in which it is near."""
    result = {}
    for name in ("positive", "knee", "both"):
        ratios = [case[name] / case["held"] for case in found]
        near = sum(1 / NEAR <= ratio <= NEAR for ratio in ratios)
        result[name] = {"median": median(ratios), "near": near / len(ratios), "largest": max(ratios)}
    return result


def markdown(found: Mapping[str, Any]) -> Iterator[str]:
    """The same as a Markdown table."""
    yield f"| estimate | median, to what raw holds | within a factor of {NEAR} | largest |"
    yield "|---|---:|---:|---:|"
    for name, each in found.items():
        yield f"| {name} | {each['median']:.2f} | {each['near']:.0%} | {each['largest']:.1f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality.sizing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1, help="how often each is tried, with other targets and seeds")
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"), help="for packages, pools and the result")
    chosen = parser.parse_args()
    forget(chosen.folder)
    asked = track(cases(chosen.draws), "selections", console=Console(stderr=True))
    found = [sized(trial, chosen.folder) for trial in asked]
    (chosen.folder / "sized.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for n, what in ((0, "all target documents"), (10, "ten target documents")):
        print(f"\n{what}\n")
        print("\n".join(markdown(summary([case for case in found if n in case["target"].values()]))))
    forget(chosen.folder)


if __name__ == "__main__":
    main()
