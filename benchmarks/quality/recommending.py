"""Whether `dsir compare` recommends the method that labels would: by held-out recovery, against the KL reduction.

    python -m benchmarks.quality.recommending [--draws 1] [--folder runs/quality]

Takes ten to twenty minutes on two cores; needs the pools of `make quality`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import measure_cases
from benchmarks.quality.pools import load
from benchmarks.quality.trial import Trial, judge, request_of
from dsir_core.config.methods import METHODS
from dsir_core.config.request import parse_config
from dsir_core.pipeline import compare_methods
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run

CLOSE = 0.05
"""Precision that a choice may lack to the best method's."""


def recommended(trial: Trial, folder: Path) -> dict[str, Any]:
    """What is recommended for a trial, without labels, and what each method's precision is.

    Args:
        trial: its settings name no method.
    """
    pool = load(trial.ask.pool, folder)
    with tempfile.TemporaryDirectory() as output:
        request = request_of(trial, pool, folder) | {"output": output}
        found = compare_methods(Run(parse_config(request), InlineExecutor()))
    settings = json.loads(trial.settings)
    precision = {
        method: judge(Trial(trial.ask, json.dumps(settings | {"method": method}), trial.draw), folder)["precision"]
        for method in METHODS
    }
    methods = found["methods"]
    return {
        "target": dict(trial.ask.documents),
        "pool": trial.ask.pool,
        "draw": trial.draw,
        "recommended": found["recommendation"]["method"],
        "equal": found["recommendation"]["equal"],
        "by_kl": max(methods, key=lambda method: methods[method]["kl_reduction"]),
        "recovery": {method: figures["recovery"]["recovered"] for method, figures in methods.items()},
        "precision": precision,
    }


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By how a method is chosen: the mean precision, and the share of cases within `CLOSE` of the best method."""
    chosen = {
        "recommended, by recovery": [case["precision"].get(case["recommended"], 0.0) for case in cases],
        "largest KL reduction": [case["precision"][case["by_kl"]] for case in cases],
        **{f"always {method}": [case["precision"][method] for case in cases] for method in METHODS},
    }
    best = [max(case["precision"].values()) for case in cases]
    found = {}
    for name, values in chosen.items():
        close = sum(value >= top - CLOSE for value, top in zip(values, best, strict=True))
        found[name] = {"precision": sum(values) / len(cases), "close": close / len(cases)}
    return {"cases": len(cases), "choices": found}


def markdown(found: Mapping[str, Any]) -> Iterator[str]:
    """The same as a Markdown table."""
    yield f"\n## Choosing a method, {found['cases']:,} cases (`python -m benchmarks.quality.recommending`)\n"
    yield f"| choice | mean precision | within {CLOSE} of the best method |"
    yield "|---|---:|---:|"
    for name, each in found["choices"].items():
        yield f"| {name} | {each['precision']:.2f} | {each['close']:.0%} |"


def main() -> None:
    """Measure and print."""
    found = measure_cases("benchmarks.quality.recommending", __doc__, recommended, "recommended.json")
    print("\n".join(markdown(summary(found))))


if __name__ == "__main__":
    main()
