"""`make quality`: build labelled pools, try settings on them, print tables, write them as JSON and Markdown.

    python -m benchmarks.quality [--only NAME,...] [--draws 3] [--workers N] [--smoke] [--folder runs/quality]

Needs pip, npm and apt-get (Debian 12, after `apt-get update`) the first time; `--smoke` needs nothing but the demo.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.quality import agreement, tables
from benchmarks.quality.experiments import EXPERIMENTS, SMOKE, Experiment
from benchmarks.quality.pools import load
from benchmarks.quality.trial import Trial, forget, judge
from dsir_core.config.features import FeatureSettings
from dsir_core.corpus.formats import jsonl
from dsir_core.features import warm_up
from dsir_core.stages.report import versions
from scripts.build_demo_corpus import BuildError


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"of {','.join(e.name for e in EXPERIMENTS)}")
    parser.add_argument("--draws", type=int, default=3, help="how often each is tried, with other targets and seeds")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--smoke", action="store_true", help="a few trials on the demo corpus, to see that it runs")
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"), help="for packages, pools and the result")
    chosen = parser.parse_args()
    names = set(filter(None, chosen.only.split(",")))
    experiments = SMOKE if chosen.smoke else [e for e in EXPERIMENTS if not names or e.name in names]
    unknown = names - {experiment.name for experiment in experiments}
    if unknown or chosen.draws < 1:
        parser.error(f"no such experiment: {', '.join(sorted(unknown))}" if unknown else "--draws: at least 1")
    try:
        run(experiments, chosen.draws, chosen.workers, chosen.folder)
    except BuildError as error:
        print(f"benchmarks.quality: {error}", file=sys.stderr)
        return 1
    return 0


def run(experiments: Sequence[Experiment], draws: int, workers: int, folder: Path) -> dict[str, Any]:
    """Try all, print the tables, write `result.json`, `result.md` and `recovery.svg` into the folder.

    Returns:
        What result.json holds.

    Raises:
        BuildError: a pool cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = list(dict.fromkeys(trial for experiment in experiments for trial in tables.trials(experiment, draws)))
    for pool in dict.fromkeys(trial.ask.pool for trial in asked):
        load(pool, folder)
    forget(folder)
    begin = time.perf_counter()
    found = judge_all(asked, workers, folder)
    seconds = time.perf_counter() - begin
    result: dict[str, Any] = {
        "draws": draws,
        "selections": len(asked),
        "seconds": seconds,
        "versions": versions(),
        "experiments": {e.name: tables.summary(e, draws, found) for e in experiments},
    }
    result["agreement"] = agreement.agreement(result["experiments"])
    lines = [line for e in experiments for line in tables.markdown(e, draws, found)]
    page = "\n".join([*lines, *agreement.markdown(result["agreement"])])
    (folder / "recovery.svg").write_text(agreement.picture(agreement.cases(result["experiments"])), encoding="utf-8")
    print(f"{page}\n{len(asked):,} selections in {seconds:,.0f} s; written to {folder} (result.json, .md)")
    (folder / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    (folder / "result.md").write_text(page, encoding="utf-8")
    forget(folder)
    return result


def judge_all(asked: Sequence[Trial], workers: int, folder: Path) -> dict[Trial, dict[str, Any]]:
    """Judge trials in several processes, with progress."""
    jsonl.warm_up()
    warm_up(FeatureSettings())
    found: dict[Trial, dict[str, Any]] = {}
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawning) as processes:
        waiting = {processes.submit(judge, trial, folder): trial for trial in asked}
        try:
            for done in track(as_completed(waiting), "selections", len(asked), console=Console(stderr=True)):
                found[waiting[done]] = done.result()
        except BaseException:
            processes.shutdown(cancel_futures=True)
            raise
    return found


if __name__ == "__main__":
    raise SystemExit(main())
