"""Stage join: scores of a table for the documents of raw, by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dsir_core.checkpoints.kinds import EXTERNAL
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.types import Shard
from dsir_core.errors import DamagedFileError, RequestError, RunFailedError, WorkerLostError
from dsir_core.shards.join import JoinTask, join_shards
from dsir_core.stages.count import Counts
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run, StageFailedError
from dsir_core.stages.work import StageWork

GROUP_DOCUMENTS = 4_000_000
"""Whose keys one worker holds at once: about 40 bytes each."""


@dataclass(frozen=True)
class Joined:
    """Result of the stage."""

    receipts: Mapping[Shard, Receipt]
    """Where the scores of each shard's documents lie."""
    damaged: Mapping[Shard, DamagedFileError | WorkerLostError]
    """Shards that are left out from here on."""


def join(run: Run, plan: Plan, counts: Counts) -> Joined:
    """Scores of each raw shard's documents, from the table that the request names.

    Raises:
        RequestError: the table is not there, or has not the columns.
        RunFailedError: a file of the table is damaged, or more shards hold one than may be left out.
        StageFailedError: storage failed for a reason that may pass.
    """
    settings = run.config.weights
    assert settings is not None
    assert settings.table is not None
    work = StageWork(run, "join")
    try:
        table = list_corpus((settings.table,)).files
    except RequestError as error:
        raise RequestError(f"weights: table: {error}") from None
    shards = [shard for shard in plan.raw.shards if shard not in counts.damaged]
    work.announce(shards)
    groups = list(_groups(run, shards, counts))
    tasks = [JoinTask(run.config.workdir_url, group, run.config.read, settings, table) for group in groups]
    run.manifest.need("join", [EXTERNAL.name(task.key_of(shard)) for task in tasks for shard in task.shards])
    found: dict[Shard, Receipt] = {}
    work.damaged.update(counts.damaged)
    for outcome in run.executor.map(join_shards, tasks, name="join"):
        if isinstance(outcome.error, RequestError | DamagedFileError):
            raise RunFailedError(f"join: {outcome.error}") from outcome.error
        if outcome.error is not None:
            raise StageFailedError(f"join: {type(outcome.error).__name__}: {outcome.error}") from outcome.error
        assert outcome.result is not None
        receipts = dict(zip(groups[outcome.index], outcome.result.receipts, strict=True))
        for shard, receipt in receipts.items():
            if isinstance(receipt, DamagedFileError):
                work.fail(shard, receipt)
            else:
                found[shard] = receipt
        work.add(sum(shard in found for shard in receipts), outcome.result.reused)
    work.finish()
    return Joined(found, dict(work.damaged))


def _groups(run: Run, shards: list[Shard], counts: Counts) -> Iterator[tuple[Shard, ...]]:
    """Shards in as large groups as fit into memory; more of them where workers would be idle."""
    expected = [_documents(shard, counts) for shard in shards]
    limit = min(GROUP_DOCUMENTS, -(-sum(expected) // run.executor.n_workers))
    group: list[Shard] = []
    documents = 0
    for shard, n in zip(shards, expected, strict=True):
        if group and documents + n > limit:
            yield tuple(group)
            group, documents = [], 0
        group.append(shard)
        documents += n
    if group:
        yield tuple(group)


def _documents(shard: Shard, counts: Counts) -> int:
    """Documents to expect in a shard, by what counting has seen of it."""
    seen = int(counts.raw.by_shard[shard.index][0])
    return max(1, int(seen / counts.rate))
