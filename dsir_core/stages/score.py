"""Stage score: a log weight for every document of the raw corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dsir_core.checkpoints.receipts import Receipt
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.errors import RunFailedError, WorkerLostError
from dsir_core.model.importance import FittedModel
from dsir_core.report.formatting import counted
from dsir_core.resampling.weights_schema import weight_columns
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.excerpts import TARGET_BYTES, TARGET_PIECES, Excerpt, Weighed, WeighTask, weigh_target
from dsir_core.shards.score import ScoreResult, ScoreTask, score_shard
from dsir_core.stages.budgets import check_bad_records
from dsir_core.stages.count import Counts
from dsir_core.stages.join import Joined
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork, describe, files_of


@dataclass(frozen=True)
class Scores:
    """Result of the stage: where the weights of each shard lie."""

    shards: tuple[Shard, ...]
    """Shards that were read whole, in order."""
    results: tuple[ScoreResult, ...]
    """One for each of `shards`."""
    tally: Tally
    columns: tuple[str, ...]
    """Log-weight columns, one for each target that selects."""
    damaged: Mapping[str, str]
    """Files left out, whole or in part, with the shards that hold them; and why. Of raw and of targets."""
    targets: Mapping[str, Weighed]
    """Samples of the targets, scored to be compared with raw."""
    copies: int = 0
    """Documents that would be eligible, and are left out since an earlier one has the same text."""
    in_target: int = 0
    """The same since a target document has."""


def score(run: Run, plan: Plan, counts: Counts, model: FittedModel, joined: Joined | None) -> Scores:
    """Score every shard of the raw corpus.

    Args:
        joined: where the scores of each shard's documents lie, when a table gives them.

    Raises:
        RunFailedError: bad records over budget, damaged files, or a shard that read otherwise than when it was counted.
    """
    work = StageWork(run, "score", leaves_out=True)
    config = run.config
    # A shard that ended every worker when it was counted would do so again.
    deadly = {shard for shard, error in counts.damaged.items() if isinstance(error, WorkerLostError)}
    shards = [
        shard for shard in plan.raw.shards if (joined is None or shard in joined.receipts) and shard not in deadly
    ]
    work.announce(shards)
    tasks = score_tasks(config, shards, model.digest, joined.receipts if joined is not None else {})
    found: dict[int, ScoreResult] = {}
    tally = Tally()
    for index, result in work.map(score_shard, tasks, shards):
        tally.merge(result.tally)
        found[index] = replace(result, receipt=result.receipt.compact(), tally=result.tally.compact())
    targets = _weigh_targets(work, plan, counts, model)
    work.finish()
    damaged = {**counts.damaged, **(joined.damaged if joined is not None else {}), **work.damaged}
    for index in sorted(found):
        counted = tuple(counts.raw.by_shard[shards[index].index].tolist())
        if counts.rate >= 1 and counted[0] >= 0:
            _check_same(shards[index], counted, found[index].tally.signature)
    check_bad_records(run, "raw", tally)
    _tell_unscored(run, tally)
    return Scores(
        tuple(shards[index] for index in sorted(found)),
        tuple(found[index] for index in sorted(found)),
        tally,
        weight_columns(model.selectors),
        {path: str(error) for shard, error in damaged.items() for path in files_of(shard)},
        targets,
    )


def score_tasks(
    config: SelectConfig, shards: Sequence[Shard], model_digest: str, joined: Mapping[Shard, Receipt]
) -> Sequence[ScoreTask]:
    """The tasks that score shards of raw."""
    return LazySequence(
        len(shards),
        lambda index: ScoreTask(
            config.workdir_url,
            shards[index],
            config.read,
            config.features,
            model_digest,
            config.weights,
            joined.get(shards[index]),
            config.strata,
            config.marks_copies,
        ),
    )


def _weigh_targets(work: StageWork, plan: Plan, counts: Counts, model: FittedModel) -> dict[str, Weighed]:
    config = work.run.config
    if config.weights is not None:
        return {}  # raw is weighed by scores that targets do not have
    tasks = {}
    for name, corpus in plan.targets.items():
        whole = [shard for shard in corpus.shards if shard not in counts.damaged]
        sample = Excerpt.spread(whole, config.read.unconditional, TARGET_PIECES, TARGET_BYTES)
        tasks[name] = WeighTask(sample, config.features, config.workdir_url, model.digest)
    return dict(zip(tasks, work.all(weigh_target, list(tasks.values())), strict=True))


def _tell_unscored(run: Run, tally: Tally) -> None:
    if tally.unscored:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in tally.unscored.items())
        first = tally.first_unscored[0]
        run.note(
            f"not eligible: {counted(sum(tally.unscored.values()), 'document')} without a usable score ({reasons}), "
            f"first {first.path} at {first.position}"
        )
    if tally.duplicate_keys:
        run.note(
            f"the table holds the key of {counted(tally.duplicate_keys, 'document')} more than once: its first is taken"
        )


def _check_same(shard: Shard, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    if first != second:
        raise RunFailedError(
            f"{describe(shard)}: counted {first}, scored {second} (documents, bad and excluded records, tokens): "
            f"the file changed during the run; run the same command again"
        )
