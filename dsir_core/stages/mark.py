"""Stage mark: documents that cannot be selected since an earlier one, or a target document, has the same text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from dsir_core.checkpoints.kinds import COPIES
from dsir_core.resampling.copies import BINS, CopyCounts, n_partitions
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.copies import (
    HashTask,
    IndexTask,
    MarkTask,
    MatchResult,
    MatchTask,
    hash_shard,
    index_shard,
    mark_shard,
    match_partition,
)
from dsir_core.stages.count import Counts
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork


def mark(run: Run, plan: Plan, counts: Counts, scores: Scores) -> Scores:
    """Mark the copies in all shards.

    Returns:
        The scores, with weights in which copies are marked and so are not eligible.

    Raises:
        RunFailedError: a target's file is damaged now. StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "mark", reads_source=False)
    config = run.config
    work.announce([*scores.shards, *scores.shards])
    targets = index_targets(work, plan, counts) if config.exclude_target_copies else []

    def index(i: int) -> IndexTask:
        return IndexTask(config.workdir_url, scores.results[i].receipt, scores.columns, config.min_tokens)

    found: dict[int, str] = {}
    for i, indexed in work.map(index_shard, LazySequence(len(scores.shards), index), scores.shards):
        found[i] = indexed.receipt.name
    work.judge()
    indexes = [found[i] for i in range(len(scores.shards))]
    matches = match(work, indexes, targets, scores.tally.documents)
    marks = tuple(each.receipt.name for each in matches)

    def task(i: int) -> MarkTask:
        return MarkTask(
            config.workdir_url,
            scores.results[i].receipt,
            marks,
            i,
            len(scores.shards),
            config.dedup == "exact",
            config.exclude_target_copies,
        )

    results = list(scores.results)
    copies = in_target = 0
    for i, marked in work.map(mark_shard, LazySequence(len(scores.shards), task), scores.shards):
        results[i] = replace(results[i], receipt=marked.receipt.compact())
        copies += marked.copies
        in_target += marked.in_target
    work.finish()
    return replace(scores, results=tuple(results), copies=copies, in_target=in_target)


def index_targets(work: StageWork, plan: Plan, counts: Counts) -> list[str]:
    """Names of the indexes of the hashes of all target documents, which are cut as raw is."""
    config = work.run.config
    read = config.read.unfiltered
    shards = [shard for corpus in plan.targets.values() for shard in corpus.shards if shard not in counts.damaged]
    tasks = [HashTask(config.workdir_url, shard, read, config.features) for shard in shards]
    work.run.manifest.need(work.name, [task.checkpoint for task in tasks])
    return [done.receipt.name for done in work.all(hash_shard, tasks)]


def match(work: StageWork, indexes: Sequence[str], targets: Sequence[str], documents: int) -> list[MatchResult]:
    """Compare all hashes with each other, a partition at a time.

    Args:
        indexes, targets: names of the indexes of shards of raw, and of targets. documents: of raw, at most.
    """
    n = n_partitions(documents)
    edges = [BINS * i // n for i in range(n + 1)]
    tasks = [
        MatchTask(work.run.config.workdir_url, tuple(indexes), tuple(targets), start, stop)
        for start, stop in itertools.pairwise(edges)
    ]
    work.run.manifest.need(work.name, [COPIES.name(task.key) for task in tasks])
    found: list[MatchResult] = work.all(match_partition, tasks)
    return found


def total(matches: Sequence[MatchResult]) -> CopyCounts:
    """The counts of all partitions together."""
    return reduce(CopyCounts.plus, (each.counts for each in matches), CopyCounts())
