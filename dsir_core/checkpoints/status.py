"""What is complete in a workdir, and what its runs still need."""

from __future__ import annotations

from dataclasses import dataclass

from dsir_core.checkpoints.kinds import COMPARISON, COUNTS, EXTRACT, KINDS, SELECTION, WEIGHTS, Kind
from dsir_core.checkpoints.manifest import Recorded, checkpoint_of, of_runs, recorded_runs
from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError

STAGES = {"count": COUNTS, "score": WEIGHTS, "resample": SELECTION, "write": EXTRACT, "compare": COMPARISON}
"""Kind of the checkpoint that a stage makes for each shard."""


@dataclass(frozen=True)
class KindStatus:
    """The checkpoints of one kind."""

    kind: Kind
    complete: int
    n_bytes: int


@dataclass(frozen=True)
class StageStatus:
    """How far one stage of a run is; seconds, n_bytes and reused are 0 until the run has ended."""

    stage: str
    needed: int
    """Shards."""
    complete: int
    seconds: float
    n_bytes: int
    """Stored bytes read."""
    reused: int
    """Shards that were complete before."""


@dataclass(frozen=True)
class RunStatus:
    """The last run to one output."""

    run: Recorded
    stages: tuple[StageStatus, ...]
    """Those that have begun."""


@dataclass(frozen=True)
class WorkdirStatus:
    """All that a workdir holds."""

    kinds: tuple[KindStatus, ...]
    runs: tuple[RunStatus, ...]
    n_bytes: int
    """Of all checkpoints, and of the record of runs."""


def workdir_status(store: Store) -> WorkdirStatus:
    """What is complete, by kind of checkpoint and by run.

    Raises:
        RequestError: there is no workdir, or nothing is in it yet.
        RunFailedError: the record of a run is damaged.
    """
    entries = of_runs(store.entries())
    if not entries:
        raise RequestError(f"{store.redacted}: no workdir there, or nothing in it yet")
    kinds = []
    for kind in KINDS:
        mine = [entry for entry in entries if entry.name.startswith(f"{kind.folder}/")]
        complete = sum(entry.name.endswith(kind.complete_suffix) for entry in mine)
        kinds.append(KindStatus(kind, complete, sum(entry.size for entry in mine)))
    done = {checkpoint_of(entry.name) for entry in entries if entry.name.endswith(".json")}
    runs = [
        RunStatus(run, tuple(_stage(run, stage, done) for stage in STAGES if stage in run.needs))
        for run in recorded_runs(store)
    ]
    return WorkdirStatus(tuple(kinds), tuple(runs), sum(entry.size for entry in entries))


def _stage(run: Recorded, stage: str, done: set[str]) -> StageStatus:
    needed = {name for name in run.needs[stage] if name.startswith(f"{STAGES[stage].folder}/")}
    figures = run.stages.get(stage, {})
    return StageStatus(
        stage,
        len(needed),
        len(needed & done),
        figures.get("seconds", 0.0),
        figures.get("bytes", 0),
        figures.get("reused", 0),
    )
