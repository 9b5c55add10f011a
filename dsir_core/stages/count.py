"""Stage count: n-gram counts of each target and of the raw corpus, or of a sample of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.hashes import TOKENIZERS
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.errors import DamagedFileError, RequestError, WorkerLostError
from dsir_core.model.smoothing import FEW_NGRAMS_PER_BUCKET
from dsir_core.report.advice import advise
from dsir_core.report.formatting import counted
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.count import BlockSample, CountTask, TargetCounting, count_shard
from dsir_core.shards.reading import quarantine_of
from dsir_core.shards.score import reads_text_alone
from dsir_core.stages.budgets import check_bad_records
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run
from dsir_core.stages.sample_rate import first_rate, ngrams_wanted
from dsir_core.stages.work import StageWork, check_complete

MUCH_UNSPACED = 0.1
"""Share of a target's bytes in scripts without spaces, from which on the user is told."""

ENOUGH = 0.9
"""A sample that holds this share of what was asked for is not read again at a higher rate."""


@dataclass(frozen=True)
class CorpusCounts:
    """Counts of one corpus and what was read for them."""

    counts: npt.NDArray[np.int64]
    tally: Tally
    by_shard: npt.NDArray[np.int64]
    """int64[shards, 4]: `Tally.signature` of each; -1 where a shard is left out."""


@dataclass(frozen=True)
class Counts:
    """Result of the stage."""

    targets: Mapping[str, CorpusCounts]
    raw: CorpusCounts
    rate: float
    """Share of the raw corpus's blocks that was counted; 1 for all of it."""
    damaged: Mapping[Shard, DamagedFileError | WorkerLostError]
    """Shards left out, of raw and of targets."""

    def targets_of(self, selector: str) -> list[str]:
        """The targets that a selector stands for: the one of its name, or all of them for a pooled one."""
        return [selector] if selector in self.targets else list(self.targets)

    def counts_of(self, selector: str) -> npt.NDArray[np.int64]:
        """int64[buckets]: the counts of these targets together."""
        total: npt.NDArray[np.int64] = np.sum([self.targets[name].counts for name in self.targets_of(selector)], axis=0)
        return total


def count(run: Run, plan: Plan) -> Counts:
    """Count targets and raw; the raw corpus on a sample of about `fit_ngrams` n-grams where that is less than all.

    Raises:
        RequestError: a target holds no document, or raw none that is not kept out.
        RunFailedError: bad records over budget, damaged files.
    """
    work = StageWork(run, "count", leaves_out=True)
    rate = first_rate(run.config, plan.raw)
    work.announce([shard for corpus in (*plan.targets.values(), plan.raw) for shard in corpus.shards])
    targets = {name: _count_target(work, corpus.shards) for name, corpus in plan.targets.items()}
    raw = _count_raw(work, plan.raw.shards, rate, keep_bytes(run.config) if rate >= 1 else 0)

    while (higher := next_rate(run.config, rate, int(raw.counts.sum()))) is not None:
        rate = higher
        raw = _count_raw(work, plan.raw.shards, rate)
    work.finish()
    for name, found in targets.items():
        _check_target(run, name, found)
    if rate >= 1:
        check_bad_records(run, "raw", raw.tally)
        _check_raw(raw.tally)
    return Counts(targets, raw, rate, dict(work.damaged))


def check_counted(run: Run, plan: Plan) -> None:
    """Look, before anything is counted, whether the workdir has the counts that a run begins with.

    Raises:
        RequestError: some are missing.
    """
    for corpus in plan.targets.values():
        check_complete(run, target_tasks(run.config, corpus.shards), corpus.shards)
    rate = first_rate(run.config, plan.raw)
    check_complete(run, raw_tasks(run.config, plan.raw.shards, rate), plan.raw.shards)


def keep_bytes(config: SelectConfig) -> int:
    """Memory of each process for n-grams that scoring will take; none where it must read the records again."""
    reads_alone = reads_text_alone(config.read, config.weights, config.strata, config.marks_copies)
    return config.keep_bytes if reads_alone else 0


def next_rate(config: SelectConfig, rate: float, n: int) -> float | None:
    """The share of raw to count when a sample of it holds n n-grams; None when they are enough."""
    wanted = ngrams_wanted(config)
    if rate >= 1 or wanted is None or n >= ENOUGH * wanted:
        return None
    return min(1.0, rate * min(16.0, 1.1 * wanted / max(n, 1)))


def _check_raw(tally: Tally) -> None:
    if tally.excluded and not tally.documents:
        raise RequestError(
            f"include and exclude keep out all {tally.excluded:,} readable records of raw: look at the names and "
            f"values of their fields (a field that is not there is null)"
        )


def _check_target(run: Run, name: str, found: CorpusCounts) -> None:
    if not found.tally.documents:
        raise RequestError(f"target {name!r} holds no document: {_why_none(found.tally)}")
    check_bad_records(run, f"target {name!r}", found.tally)
    _warn_of_target(run, name, found)


def _warn_of_target(run: Run, name: str, found: CorpusCounts) -> None:
    config = run.config
    unspaced = found.tally.unspaced_bytes / max(1, found.tally.n_bytes)
    if not TOKENIZERS[config.tokenizer].splits_unspaced and unspaced >= MUCH_UNSPACED:
        run.note(advise("tokenizer", target=name, unspaced=unspaced))
    ngrams = int(found.counts.sum())
    if config.smoothing == 0.0 and ngrams < FEW_NGRAMS_PER_BUCKET * config.buckets:
        run.note(advise("smoothing", target=name, ngrams=counted(ngrams, "n-gram"), buckets=config.buckets))


def _why_none(tally: Tally) -> str:
    if not tally.bad:
        return "no record could be read from its files"
    first = tally.first_bad[0]
    return f"all {tally.bad:,} records are bad, first {first.path} at {first.position}: {first.reason}"


def target_tasks(config: SelectConfig, shards: Sequence[Shard]) -> Sequence[CountTask]:
    """The tasks that count a target."""
    how = TargetCounting(config.strata if config.quotas == "target" else None)
    read = config.read.unconditional
    return LazySequence(
        len(shards), lambda index: CountTask(config.workdir_url, shards[index], read, config.features, target=how)
    )


def raw_tasks(config: SelectConfig, shards: Sequence[Shard], rate: float, kept: int = 0) -> Sequence[CountTask]:
    """The tasks that count raw, or a share of its blocks."""
    sample = BlockSample(rate) if rate < 1 else None
    return LazySequence(
        len(shards),
        lambda index: CountTask(config.workdir_url, shards[index], config.read, config.features, sample, kept),
    )


def _count_target(work: StageWork, shards: Sequence[Shard]) -> CorpusCounts:
    return _count(work, shards, target_tasks(work.run.config, shards))


def _count_raw(work: StageWork, shards: Sequence[Shard], rate: float, kept: int = 0) -> CorpusCounts:
    return _count(work, shards, raw_tasks(work.run.config, shards, rate, kept))


def _count(work: StageWork, shards: Sequence[Shard], tasks: Sequence[CountTask]) -> CorpusCounts:
    counts: npt.NDArray[np.int64] | None = None
    tally = Tally()
    by_shard = np.full((len(shards), 4), -1, np.int64)
    # Few of these files exist: only those of shards with bad records.
    work.run.manifest.need("quarantine", [quarantine_of(task.shard, task.read) for task in tasks])
    for index, result in work.map(count_shard, tasks, shards):
        if counts is None:
            counts = np.zeros_like(result.counts)
        counts += result.counts
        tally.merge(result.tally)
        by_shard[index] = result.tally.signature
    if counts is None:
        counts = np.zeros(work.run.config.buckets, np.int64)
    return CorpusCounts(counts, tally, by_shard)
