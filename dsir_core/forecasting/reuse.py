"""What of a run its workdir already holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsir_core.checkpoints.cached import array_from
from dsir_core.checkpoints.kinds import COUNTS, WEIGHTS
from dsir_core.checkpoints.manifest import complete_checkpoints
from dsir_core.checkpoints.store import Store
from dsir_core.corpus.tally import Tally
from dsir_core.errors import RequestError
from dsir_core.shards.count import CountTask
from dsir_core.stages.count import CorpusCounts, Counts, next_rate, raw_tasks, target_tasks
from dsir_core.stages.fit import fitted
from dsir_core.stages.plan import Plan
from dsir_core.stages.recover import candidates_of
from dsir_core.stages.run import Run
from dsir_core.stages.score import score_tasks

MAX_COUNTS = 2_000
"""Checkpoints that are read to know the model; above it, which weights are reused is seen by the run."""


@dataclass(frozen=True)
class Reuse:
    """Shards whose checkpoints are complete."""

    counted: int
    """Of raw."""
    targets_counted: int
    scored: int | None
    """Of raw; None when that cannot be known before counting."""
    rate: float
    """Share of raw that is counted."""


def find_reuse(run: Run, plan: Plan, rate: float) -> Reuse:
    """Look for the checkpoints that a run would make; nothing is written.

    Args:
        rate: share of raw that the run counts at first.

    Raises:
        OSError: of the storage.
    """
    complete = complete_checkpoints(run.store, COUNTS, WEIGHTS)
    targets = {name: target_tasks(run.config, corpus.shards) for name, corpus in plan.targets.items()}
    in_targets = sum(task.checkpoint in complete for tasks in targets.values() for task in tasks)
    whole_targets = in_targets == sum(map(len, targets.values()))
    tasks = raw_tasks(run.config, plan.raw.shards, rate)
    counted = sum(task.checkpoint in complete for task in tasks)
    if counted < len(tasks) or not whole_targets or len(tasks) + in_targets > MAX_COUNTS:
        has_weights = any(name.startswith(f"{WEIGHTS.folder}/") for name in complete)
        return Reuse(counted, in_targets, None if has_weights else 0, rate)
    raw = _load(run.store, tasks)
    higher = next_rate(run.config, rate, int(raw.counts.sum())) if raw is not None else None
    if higher is not None:
        return find_reuse(run, plan, higher)
    found = {name: _load(run.store, each) for name, each in targets.items()}
    loaded = {name: counts for name, counts in found.items() if counts is not None}
    if raw is None or len(loaded) < len(found):
        return Reuse(counted, in_targets, None, rate)
    return Reuse(counted, in_targets, _scored(run, plan, Counts(loaded, raw, rate, {}), complete), rate)


def _scored(run: Run, plan: Plan, counts: Counts, complete: set[str]) -> int | None:
    """Shards of raw whose weights by the model of these counts are there."""
    if run.config.weights is not None and run.config.weights.table is not None:
        return None  # weights depend on what the table gives each document
    if run.config.classifies:
        return None  # and on a classifier that only the run fits
    if len(candidates_of(run.config)) > 1:
        return None  # and on the settings that only the run picks
    try:
        model = fitted(Run(run.config, run.executor), counts, {}).model  # what it notes is for the run to say
    except RequestError:
        return None
    return sum(task.checkpoint in complete for task in score_tasks(run.config, plan.raw.shards, model.digest, {}))


def _load(store: Store, tasks: Sequence[CountTask]) -> CorpusCounts | None:
    """The counts of a corpus; None where one is damaged."""
    total: np.ndarray | None = None
    tally = Tally()
    for task in tasks:
        found = store.load(COUNTS.folder, task.key)
        if found is None:
            return None
        receipt, data = found
        counts = array_from(data)
        total = counts if total is None else total + counts
        tally.merge(Tally.from_json(receipt.summary))
    if total is None:
        return None
    by_shard = np.empty((0, 4), np.int64)
    return CorpusCounts(total, tally, by_shard)
