"""Whether the number of documents that raw seems to hold of the target's kind is the number that it holds.

    python -m benchmarks.quality.sizing [--draws 1] [--folder runs/quality]

Takes some minutes on two cores; needs the pools of `make quality`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.quality.cases import measure_cases
from benchmarks.quality.pools import load
from benchmarks.quality.trial import Trial, request_of, select_of
from dsir_core.report.recovery import likely_documents, positive_documents

NEAR = 1.5
"""An estimate is near where it is off by no more than this factor."""


def sized(trial: Trial, folder: Path) -> dict[str, Any]:
    """What a selection says of the documents like its target in raw, and how many there are."""
    pool = load(trial.ask.pool, folder)
    request = request_of(trial, pool, folder)
    report, _ = select_of(pool, request)
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
    found = measure_cases("benchmarks.quality.sizing", __doc__, sized, "sized.json")
    for n, what in ((0, "all target documents"), (10, "ten target documents")):
        print(f"\n{what}\n")
        print("\n".join(markdown(summary([case for case in found if n in case["target"].values()]))))


if __name__ == "__main__":
    main()
