"""`make scale`: what choosing costs at any size; memory of the driver, passes, bytes read.

    python -m benchmarks.scale [--documents 1e8] [--simulate 1e10] [--shards 1e5]
        [--only measured,simulated,scheduled] [--folder runs/scale]

`measured` writes synthetic weights of so many documents to the folder (16 bytes a document) and chooses among them on
this machine's cores. `simulated` is a whole run's driver with a cluster on this machine, in which each function that
would read or write a shard is replaced by one that draws its result from what statistics says of the shard.
`scheduled` is what shards that cost nothing cost driver and scheduler, by the number of workers
(`benchmarks/scheduling.py`). Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import scheduling, synthetic
from benchmarks.synthetic import NAME, SELECTED, Mocked, Synthetic
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.corpus.listing import Corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.tally import Tally
from dsir_core.model.importance import FittedModel
from dsir_core.model.noise import gumbel
from dsir_core.model.smoothing import NONE
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weights_schema import weight_columns
from dsir_core.runtime.executor import Executor, LazySequence, Outcome, nothing
from dsir_core.shards.warm_up import warm_up
from dsir_core.stages.count import CorpusCounts, Counts, count
from dsir_core.stages.fit import Fit, fit
from dsir_core.stages.plan import Plan, PlannedCorpus
from dsir_core.stages.resample import resample
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores, score
from dsir_core.stages.write import write
from tasks import batching
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor

MB = 10**6
SHARD_DOCUMENTS = 100_000
POLL_SECONDS = 0.02
Row = dict[str, Any]


class Meter:
    """An executor that notes what each reduction and each map costs."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.n_workers = executor.n_workers
        self.calls: list[Row] = []

    def map(self, function: Any, items: Sequence[Any], *, name: str) -> Iterator[Outcome[Any]]:
        """See `Executor.map`."""
        begin = time.perf_counter(), cpu_seconds()
        yield from self._executor.map(function, items, name=name)
        self._note(function, len(items), begin, 0)

    def reduce(
        self, function: Any, items: Sequence[Any], join: Any, *, name: str, done: Callable[[], None] = nothing
    ) -> Any:
        """See `Executor.reduce`."""
        begin = time.perf_counter(), cpu_seconds()
        whole = self._executor.reduce(function, items, join, name=name, done=done)
        self._note(function, len(items), begin, len(pickle.dumps(whole)))
        return whole

    def _note(self, function: Any, n: int, begin: tuple[float, float], came_back: int) -> None:
        seconds, cpu = time.perf_counter() - begin[0], cpu_seconds() - begin[1]
        costs = {"seconds": seconds, "cpu_seconds": cpu, "came_back": came_back}
        self.calls.append({"function": function.__name__, "tasks": n, **costs})

    def of(self, *names: str) -> list[Row]:
        """The calls of some functions."""
        return [call for call in self.calls if call["function"] in names]


def cpu_seconds() -> float:
    """Processor time of this process and its children: on a busy machine it says more than the clock."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


@contextmanager
def memory() -> Iterator[Row]:
    """Resident bytes of this process, and of its largest child: when the block begins, and at most."""
    me, stop = psutil.Process(), threading.Event()
    found = {"before": me.memory_info().rss, "driver": 0, "worker": 0}

    def watch() -> None:
        while not stop.wait(POLL_SECONDS):
            found["driver"] = max(found["driver"], me.memory_info().rss)
            for child in me.children(recursive=True):
                try:
                    found["worker"] = max(found["worker"], child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def config_of(folder: Path, settings: Row) -> SelectConfig:
    """Settings of a run in a folder."""
    places = {"raw": ["raw"], "target": {NAME: ["target"]}, "output": str(folder / "output")}
    return parse_config({**places, "workdir": str(folder), **settings})


def write_corpus(folder: Path, documents: int) -> Scores:
    """Scores of synthetic documents, whose weights are written."""
    sizes = [min(SHARD_DOCUMENTS, documents - at) for at in range(0, documents, SHARD_DOCUMENTS)]
    tasks = LazySequence(len(sizes), lambda index: Synthetic(str(folder), index, sizes[index]))
    with local_cluster() as client:
        outcomes = {o.index: o for o in DaskExecutor(client).map(synthetic.write_weights, tasks, name="weights")}
    results, tally = [], Tally()
    for index in range(len(sizes)):
        result = outcomes[index].result
        assert result is not None, outcomes[index].error
        results.append(result)
        tally.merge(result.tally)
    shards = tuple(synthetic.shard_of(index, n) for index, n in enumerate(sizes))
    return Scores(shards, tuple(results), tally, weight_columns((NAME,)), {}, {})


def uncounted(scores: Scores) -> Counts:
    """Counts of nothing: resampling asks them for the strata of targets only."""
    return Counts({}, CorpusCounts(np.zeros(1, np.int64), scores.tally, np.empty((0, 4), np.int64)), 1.0, {})


def unfitted() -> Fit:
    """A model of nothing: resampling asks it for who selects, and for how log weights are scaled."""
    model = FittedModel((NAME,), (1.0,), np.zeros((1, 1)))
    return Fit(model, True, 0.0, {NAME: NONE}, {NAME: WeightScaling()}, np.zeros(1, np.int64), False)


def warm_up_workers() -> None:
    """Compile what workers need, or load it."""
    warm_up()
    gumbel(np.arange(2), 0, 0, "")


def measured(folder: Path, documents: int, settings: Row) -> Row:
    """Choose among documents whose weights lie on the disk."""
    scores = write_corpus(folder, documents)
    stored = sum(result.receipt.n_bytes for result in scores.results)
    shutil.rmtree(folder / "selection", ignore_errors=True)
    with local_cluster() as client:
        run = Run(config_of(folder, settings), DaskExecutor(client))
        run.executor = meter = Meter(run.executor)
        client.run(warm_up)
        begin = time.perf_counter()
        with memory() as peak:
            sample = resample(run, uncounted(scores), scores, unfitted())
        seconds = time.perf_counter() - begin
    selected = {"selected": sample.account.n_selected, "temperature": sample.temperatures[NAME]}
    return {**_costs(meter, peak, seconds), "documents": documents, "shards": len(scores.shards), "stored": stored,
            **selected}  # fmt: skip


def simulated(documents: int, shards: int) -> Row:
    """The driver of a whole run over a corpus of which only statistics exist."""
    batching.BATCH_BYTES = sys.maxsize  # statistics of a large shard take no longer
    with tempfile.TemporaryDirectory() as scratch, local_cluster() as client:
        run = Run(config_of(Path(scratch), {"count": int(documents * SELECTED)}), DaskExecutor(client))
        run.executor = meter = Meter(Mocked(run.executor))
        client.run(warm_up)
        seconds: dict[str, float] = {}
        after: dict[str, int] = {}
        begin = time.perf_counter()
        with memory() as peak:
            for stage, _ in _stages(run, documents, shards):
                seconds[stage] = time.perf_counter() - begin - sum(seconds.values())
                after[stage] = psutil.Process().memory_info().rss
    costs = _costs(meter, peak, sum(seconds.values()))
    return {**costs, "documents": documents, "shards": shards, "stages": seconds, "driver_after": after}


def _stages(run: Run, documents: int, shards: int) -> Iterator[tuple[str, Any]]:
    files = tuple(synthetic.source_file(index, documents // shards) for index in range(shards))
    # Each file is a shard, however small: what is compared is the number of shards.
    raw = PlannedCorpus(Corpus("s3://corpus/raw", files), tuple(plan_shards(files, shard_bytes=1)))
    assert len(raw.shards) == shards
    target = PlannedCorpus(Corpus("s3://corpus/target", files[:1]), (synthetic.shard_of(0, 10_000),))
    plan = Plan(raw, {NAME: target})
    yield "plan", plan
    counts = count(run, plan)
    yield "count", counts
    fitted = fit(run, counts, {})
    yield "fit", fitted
    scores = score(run, plan, counts, fitted.model, None)
    yield "score", scores
    sample = resample(run, counts, scores, fitted)
    yield "resample", sample
    yield "write", write(run, plan, counts, scores, sample)


def _costs(meter: Meter, peak: Row, seconds: float) -> Row:
    passes = meter.of("part_histograms", "part_ties")
    return {
        "seconds": seconds,
        "driver_before": peak["before"],
        "driver_peak": peak["driver"],
        "worker_peak": peak["worker"],
        "passes": len([call for call in passes if call["tasks"] > 1 or call["function"] == "part_histograms"]),
        "pass_seconds": [call["seconds"] for call in passes],
        "pass_cpu_seconds": [call["cpu_seconds"] for call in passes],
        "came_back": max((call["came_back"] for call in passes), default=0),
        "leaves": max((call["tasks"] for call in passes), default=0),
        "temperature_passes": len(meter.of("part_sizes")),
        "temperature_seconds": sum(call["seconds"] for call in meter.of("part_sizes")),
        "temperature_cpu_seconds": sum(call["cpu_seconds"] for call in meter.of("part_sizes")),
        "mark_cpu_seconds": sum(call["cpu_seconds"] for call in meter.of("mark_shard")),
    }


def rows_of(folder: Path, documents: int, simulate: int, scheduled: int) -> dict[str, list[Row]]:
    """What is measured: titles and arguments."""
    wanted = int(documents * SELECTED)
    choices: list[tuple[str, Row]] = [
        ("importance, by count", {"count": wanted}),
        ("importance, by token budget", {"tokens": wanted * synthetic.TOKENS}),
        ("importance, half of all", {"fraction": 0.5}),
        ("top-k, by count", {"count": wanted, "method": "top-k"}),
        ("random, by count", {"count": wanted, "method": "random"}),
        ("importance, target_ess 0.1", {"count": wanted, "target_ess": 0.1}),
    ]
    shards = max(10, simulate // SHARD_DOCUMENTS)
    sizes = [(simulate // 100, shards // 100), (simulate // 100, shards // 10), (simulate, shards // 10),
             (simulate // 100, shards), (simulate, shards)]  # fmt: skip
    futures = [(scheduled // 25, workers, True) for workers in (1, 10, 100, 1000)]
    futures += [(scheduled, 100, True), (scheduled, 100, False)]
    return {
        "scheduled": [
            {
                "what": f"{n:,} {'large' if alone else 'small'} shards, {workers:,} workers",
                "arguments": [n, workers, alone],
            }
            for n, workers, alone in futures
        ],
        "measured": [{"what": what, "arguments": [str(folder), documents, s]} for what, s in choices],
        "simulated": [{"what": f"{n:,} documents, {m:,} shards", "arguments": [n, max(m, 1)]} for n, m in sizes],
    }


def in_a_process(kind: str, arguments: list[Any]) -> Row:
    """One row, measured in a process of its own.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    words = [sys.executable, "-m", "benchmarks.scale", "--row", json.dumps([kind, arguments])]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} {arguments} failed")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def line(row: Row) -> str:
    """A row of the table."""

    def each(seconds: float) -> str:
        return f"{seconds / row['documents'] * 1e9:.0f}"

    cells = [
        f"{row['seconds']:8.1f} s",
        f"driver {row['driver_before'] / MB:5.0f} -> {row['driver_peak'] / MB:5.0f} MB",
        f"worker {row['worker_peak'] / MB:5.0f} MB",
        f"{row['passes']} passes",
        f"{row['leaves']} leaves",
        f"{row['came_back'] / MB:5.1f} MB back",
    ]
    if "stored" in row:
        passes = " + ".join(each(seconds) for seconds in row["pass_cpu_seconds"])
        cells.append(
            f"{row['stored'] / 1e9:.2f} GB a pass, {passes} + {each(row['mark_cpu_seconds'])} ns of CPU a document"
        )
    if row["temperature_passes"]:
        cpu = each(row["temperature_cpu_seconds"])
        cells.append(f"T = {row['temperature']:g} in {row['temperature_passes']} passes, {cpu} ns")
    return f"    {row['what']:<40} " + "   ".join(cells)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=float, default=1e8, help="whose weights are written")
    parser.add_argument("--simulate", type=float, default=1e10, help="documents of the simulation")
    parser.add_argument("--shards", type=float, default=1e5, help="whose scheduling is measured")
    parser.add_argument("--only", default="measured,simulated,scheduled")
    parser.add_argument("--folder", type=Path, default=Path("runs/scale"), help="for weights and the result")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.row:
        kind, arguments = json.loads(chosen.row)
        if kind == "measured":
            arguments[0] = Path(arguments[0])
        kinds: dict[str, Any] = {"measured": measured, "simulated": simulated, "scheduled": scheduling.scheduled}
        print(json.dumps(kinds[kind](*arguments)))
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Row]] = {}
    sizes = int(chosen.documents), int(chosen.simulate), int(chosen.shards)
    for kind, rows in rows_of(chosen.folder, *sizes).items():
        if kind not in chosen.only.split(","):
            continue
        print(f"\n{kind}", flush=True)
        found[kind] = []
        for row in rows:
            found[kind].append({"what": row["what"], **in_a_process(kind, row["arguments"])})
            print((scheduling.line if kind == "scheduled" else line)(found[kind][-1]), flush=True)
    path = chosen.folder / "result.json"
    path.write_text(json.dumps(found, indent=1))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
