"""Bounded samples of a corpus's documents as sparse n-gram counts, whatever its shards: for classifier and recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dsir_core.checkpoints.receipts import Receipt
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.types import Shard, SourceFile
from dsir_core.digests import hash64
from dsir_core.model.compact_sample import Bound
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.count import BlockSample
from dsir_core.shards.sample_documents import GatherTask, StoredSample, gather_shard
from dsir_core.stages.count import Counts
from dsir_core.stages.plan import Plan, PlannedCorpus
from dsir_core.stages.sample_rate import rounded_rate
from dsir_core.stages.work import StageWork

MIN_FILES = 16
MARGIN = 1.25
"""So many times the documents wanted are looked at: how many there are in the blocks that are read is not known."""
NGRAMS_PER_ENTRY = 2
"""So often a document holds each of its n-grams, in the mean: 1.2 (poems) to 2.6 (code) on the texts of the demo. Where
it is more than `MARGIN` times this, the sample is smaller than its bound allows."""


@dataclass(frozen=True)
class SampleSize:
    """How large a sample is, and how much of the corpus is read for it."""

    bound: Bound
    times: float
    """Documents in the blocks that are read, as a multiple of those wanted: neighbours in a file are alike."""

    def rate(self, documents: float) -> float:
        """Share of so many documents to look at; rounded, so that a corpus that grows a little is not sampled anew."""
        return rounded_rate(min(1.0, self.times * self.bound.documents / max(documents, 1.0)))

    def share(self, documents: float, entries: float) -> float:
        """Of the documents in the blocks that are read, the share to look at; rounded as `rate` is.

        Args:
            documents: in these blocks, about.
            entries: the most that a document has in the mean.
        """
        wanted = min(self.bound.documents, NGRAMS_PER_ENTRY * self.bound.entries / max(entries, 1.0))
        return rounded_rate(min(1.0, MARGIN * wanted / max(documents, 1.0)))


@dataclass(frozen=True)
class Samples:
    """Samples of all corpora."""

    raw: StoredSample
    targets: Mapping[str, StoredSample]


def sample_corpora(
    work: StageWork, plan: Plan, counts: Counts, read: ReadSettings, size: SampleSize, *, places: bool = False
) -> Samples:
    """Samples of raw and of each target.

    Args:
        read: how targets are read.
        places: whether it is wanted where the documents of targets stand.
    """
    raw = _wanted(work, plan, counts, None, work.run.config.read, size)
    targets = [_wanted(work, plan, counts, name, read, size, places=places) for name in plan.targets]
    # In one go, so that no worker waits for the last shard of a corpus.
    tasks = [(corpus, shard) for corpus in (*targets, raw) for shard in corpus.shards]
    shards = [shard for _, shard in tasks]
    work.announce(shards)
    receipts: dict[int, Receipt] = {}
    for index, result in work.map(
        gather_shard, LazySequence(len(tasks), lambda i: tasks[i][0].task(tasks[i][1])), shards
    ):
        receipts[index] = result.receipt.compact()
    found: dict[str, list[Receipt]] = {corpus.name: [] for corpus in (*targets, raw)}
    for index in sorted(receipts):
        found[tasks[index][0].name].append(receipts[index])
    stored = [StoredSample(tuple(found[corpus.name]), corpus.rate) for corpus in (*targets, raw)]
    return Samples(stored[-1], dict(zip(plan.targets, stored, strict=False)))


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of one corpus."""

    name: str
    shards: Sequence[Shard]
    """Those that are looked into, with the ranges of the files that are."""
    rate: float
    """Share of its documents that are looked at, about."""
    task: Callable[[Shard], GatherTask]


def _wanted(
    work: StageWork,
    plan: Plan,
    counts: Counts,
    target: str | None,
    read: ReadSettings,
    size: SampleSize,
    *,
    places: bool = False,
) -> _Wanted:
    """What is wanted of a target, or of raw."""
    config = work.run.config
    corpus = plan.raw if target is None else plan.targets[target]
    tally = (counts.raw if target is None else counts.targets[target]).tally
    known = tally.documents / (counts.rate if target is None else 1.0)
    name = "raw" if target is None else f"target {target}"
    files, documents = _some_files(corpus, known, size.times * size.bound.documents)
    shards = [
        replace(shard, ranges=ranges)
        for shard in corpus.shards
        if shard not in counts.damaged and (ranges := tuple(r for r in shard.ranges if r.file.path in files))
    ]
    blocks = BlockSample(size.rate(documents))
    ngrams = config.ngrams * tally.tokens / max(tally.documents, 1)
    share = size.share(blocks.rate * documents, min(config.buckets, ngrams))
    strata = config.strata if places and config.quotas == "target" else None
    return _Wanted(
        name,
        shards,
        blocks.rate * min(1.0, documents / max(known, 1.0)),
        lambda shard: GatherTask(
            config.workdir_url, shard, read, config.features, name, blocks, share, size.bound, places, strata
        ),
    )


def _some_files(corpus: PlannedCorpus, documents: float, wanted: float) -> tuple[set[str], float]:
    """Files to look into, of all sizes, and how many documents to expect there.

    A compressed file must be read from its beginning to wherever a block stands: of many files only some are opened,
    those that come first by a hash of their path.
    """
    per_byte = documents / max(1, corpus.n_bytes)
    n_bytes = 0
    taken: set[str] = set()
    for file in sorted(corpus.corpus.files, key=_order):
        if len(taken) >= MIN_FILES and n_bytes * per_byte >= wanted:
            break
        taken.add(file.path)
        n_bytes += file.size
    return taken, n_bytes * per_byte


def _order(file: SourceFile) -> tuple[int, str]:
    return hash64("classifier", file.path), file.path
