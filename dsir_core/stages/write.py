"""Stage write: the chosen records, as they were, and the list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core import selected
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.extract import Example, ExtractResult, ExtractTask, extract_shard
from dsir_core.parts import PartCompression, PartResult, plan_parts, write_part
from dsir_core.selected import SelectedResult, SelectedTask, write_selected
from dsir_core.stages.plan import Plan
from dsir_core.stages.resample import Sample
from dsir_core.stages.run import Run, StageFailedError, StageWork, describe
from dsir_core.stages.score import Scores
from dsir_core.store import Store

N_EXAMPLES = 12
REPORT = "report.json"
MANIFEST = ".dsir-output.json"
"""Names that a selection under way writes to the output; gone when it is complete."""

LIKE_OURS = ("part-", selected.NAME, "report.")
"""How the names of an output's files begin."""


@dataclass(frozen=True)
class Written:
    """Result of the stage."""

    parts: tuple[PartResult, ...]
    selected: SelectedResult
    counts: npt.NDArray[np.int64]
    """int64[targets, buckets]: n-grams of the chosen documents, by who chose them."""
    examples: tuple[Example, ...]


def write(run: Run, plan: Plan, scores: Scores, sample: Sample) -> Written:
    """Write parts and `selected.parquet` to the output; files of an earlier selection go first.

    Raises:
        RunFailedError: what was written is not what was chosen.
        StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "write")
    config = run.config
    picked = [i for i, mark in enumerate(sample.marks) if mark.account.n_selected]
    shards = [scores.shards[i] for i in picked]
    work.announce(shards)
    tasks = [
        ExtractTask(
            config.workdir_url,
            scores.shards[i],
            config.read,
            config.features,
            sample.marks[i].receipt,
            sample.names,
        )
        for i in picked
    ]
    found: dict[int, ExtractResult] = {}
    counts = np.zeros((len(sample.names), config.buckets), np.int64)
    for index, result in work.map(extract_shard, tasks, shards):
        found[index] = ExtractResult(result.extracted, np.empty(0, np.int64), result.reused, result.seconds)
        counts += result.counts
    if work.damaged:
        raise RunFailedError(f"write: {next(iter(work.damaged.values()))}; the file changed during the run")
    work.judge()
    for index, result in found.items():
        wanted = sample.marks[picked[index]].account.n_selected
        if result.extracted.documents != wanted:
            raise RunFailedError(
                f"write: {describe(shards[index])}: {wanted:,} documents were chosen, {result.extracted.documents:,} "
                f"found; the file changed during the run"
            )
    extracts = [file for index in range(len(tasks)) for file in found[index].extracted.files]
    parts = plan_parts(extracts, config.workdir_url, config.output, output_compression(run, plan))
    clear_output(run, [part.name for part in parts])
    listed = SelectedTask(config.workdir_url, config.output, tuple(sample.marks[i].receipt.name for i in picked))
    (joined,) = _all(run, write_selected, [listed])
    written = _all(run, write_part, parts)
    total = sum(part.documents for part in written)
    if not total == joined.documents == sample.account.n_selected:
        raise RunFailedError(
            f"write: {sample.account.n_selected:,} documents were chosen, {total:,} written, "
            f"{joined.documents:,} listed"
        )
    work.finish()
    examples = [example for index in range(len(tasks)) for example in found[index].extracted.examples]
    return Written(tuple(written), joined, counts, tuple(examples[:: max(1, len(examples) // N_EXAMPLES)][:N_EXAMPLES]))


def _all(run: Run, function: Any, tasks: Sequence[Any]) -> list[Any]:
    results: list[Any] = [None] * len(tasks)
    for outcome in run.executor.map(function, tasks, name="write"):
        if outcome.error is not None:
            raise StageFailedError(
                f"write: {type(outcome.error).__name__}: {outcome.error}. Finished shards are kept: "
                f"run the same command again to go on"
            ) from outcome.error
        results[outcome.index] = outcome.result
    return results


def output_compression(run: Run, plan: Plan) -> PartCompression:
    """Compression of JSONL parts: as asked, or as all raw JSONL files have it, else zstd."""
    if run.config.compression != "auto":
        return run.config.compression
    kinds = {file.compression for file in plan.raw.corpus.files if file.format == "jsonl"}
    if len(kinds) == 1 and (kind := kinds.pop()) in ("none", "gzip"):
        return kind
    return "zstd"


def complete_report(output: str) -> dict[str, Any] | None:
    """The report of a complete selection at `output`, or None where there is none.

    Raises:
        RequestError: there is a report.json that is none of ours.
    """
    store = Store(output)
    try:
        report: dict[str, Any] = json.loads(store.read(REPORT))
        if report["documents"]["selected"] >= 0 and report["parts"] is not None:
            return report
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise RequestError(f"{store.shown}/{REPORT} is not a report of ours; choose another output")


def check_output(run: Run) -> list[str]:
    """What an earlier selection has left at the output and this run may remove.

    Raises:
        RequestError: there is a complete selection and `overwrite` is not set, or there are files like ours that no
            selection of ours has written.
    """
    store = Store(run.config.output)
    report = complete_report(run.config.output)
    if report is not None and not run.config.overwrite:
        raise RequestError(
            f"{store.shown} holds a complete selection: choose another --output, or replace it with --overwrite"
        )
    ours = [part["name"] for part in report["parts"]] if report is not None else []
    under_way = store.exists(MANIFEST)
    if under_way:
        ours += json.loads(store.read(MANIFEST))
    if under_way or report is not None:
        ours += [REPORT, "report.html", selected.NAME, MANIFEST]
    present = [name for name in store.names() if "/" not in name]
    foreign = [name for name in present if name.startswith(LIKE_OURS) and name not in ours]
    if foreign:
        raise RequestError(
            f"{store.shown} holds {foreign[0]}, which no selection of ours has written: choose another --output"
        )
    return [name for name in present if name in ours]


def clear_output(run: Run, parts: Sequence[str]) -> None:
    """Remove an earlier selection, its report first, so that the output is never half a selection.

    Args:
        parts: names that will be written; noted in the output, so that a run that is killed can be followed by another.
    """
    store = Store(run.config.output)
    names = check_output(run)
    store.write(MANIFEST, json.dumps([*parts, *names]).encode())
    for name in sorted(names, key=lambda name: name != REPORT):
        if name != MANIFEST:
            store.remove(name)
