"""Stage count: n-gram counts of each target and of the raw corpus, or of a sample of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.corpus.types import Shard
from dsir_core.counts import BlockSample, CountTask, count_shard
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.shard_work import quarantine_of
from dsir_core.stages.estimate import first_rate, ngrams_wanted
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run, StageWork, check_budget
from dsir_core.tally import Tally

ENOUGH = 0.9
"""A sample that holds this share of what was asked for is not read again at a higher rate."""


@dataclass(frozen=True)
class CorpusCounts:
    """Counts of one corpus and what was read for them."""

    counts: npt.NDArray[np.int64]
    tally: Tally
    by_shard: Mapping[int, Tally]


@dataclass(frozen=True)
class Counts:
    """Result of the stage."""

    targets: Mapping[str, CorpusCounts]
    raw: CorpusCounts
    rate: float
    """Share of the raw corpus's blocks that was counted; 1 for all of it."""
    damaged: Mapping[Shard, DamagedFileError]
    """Shards left out, of raw and of targets."""


def count(run: Run, plan: Plan) -> Counts:
    """Count targets and raw; the raw corpus on a sample of about `fit_ngrams` n-grams where that is less than all.

    Raises:
        RequestError: a target holds no document.
        RunFailedError: bad records over budget, damaged files.
    """
    work = StageWork(run, "count")
    rate = first_rate(run.config, plan.raw)
    work.announce([shard for corpus in (*plan.targets.values(), plan.raw) for shard in corpus.shards])
    targets = {name: _count_corpus(work, corpus.shards, 1.0) for name, corpus in plan.targets.items()}
    keep_bytes = run.config.keep_bytes if rate >= 1 else 0
    raw = _count_corpus(work, plan.raw.shards, rate, keep_bytes)

    wanted = ngrams_wanted(run.config)
    while rate < 1 and wanted is not None and (n := int(raw.counts.sum())) < ENOUGH * wanted:
        rate = min(1.0, rate * min(16.0, 1.1 * wanted / max(n, 1)))
        raw = _count_corpus(work, plan.raw.shards, rate)
    work.finish()
    for name, found in targets.items():
        _check_target(run, name, found)
    if rate >= 1:
        check_budget(run, "raw", raw.tally)
    return Counts(targets, raw, rate, dict(work.damaged))


def _check_target(run: Run, name: str, found: CorpusCounts) -> None:
    if not found.tally.documents:
        raise RequestError(f"target {name!r} holds no document: {_why_none(found.tally)}")
    check_budget(run, f"target {name!r}", found.tally)


def _why_none(tally: Tally) -> str:
    if not tally.bad:
        return "no record could be read from its files"
    first = tally.first_bad[0]
    return f"all {tally.bad:,} records are bad, first {first.path} at {first.position}: {first.reason}"


def _count_corpus(work: StageWork, shards: Sequence[Shard], rate: float, keep_bytes: int = 0) -> CorpusCounts:
    config = work.run.config
    sample = BlockSample(rate) if rate < 1 else None
    tasks = [CountTask(config.workdir_url, shard, config.read, config.features, sample, keep_bytes) for shard in shards]
    counts = np.zeros(config.buckets, np.int64)
    tally = Tally()
    by_shard: dict[int, Tally] = {}
    # Few of these files exist: only those of shards with bad records.
    work.run.ledger.need("quarantine", [quarantine_of(shard, config.read) for shard in shards])
    for index, result in work.map(count_shard, tasks, shards):
        counts += result.counts
        tally.merge(result.tally)
        by_shard[index] = result.tally
    return CorpusCounts(counts, tally, by_shard)
