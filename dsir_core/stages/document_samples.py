"""Bounded samples of a corpus's documents as sparse n-gram counts, whatever its shards: for classifier and recovery."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dsir_core.checkpoints.receipts import Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import SourceFile
from dsir_core.digests import hash64
from dsir_core.model.compact_sample import BottomKSample, Bound, SparseDocuments
from dsir_core.model.places import Places
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.count import BlockSample
from dsir_core.shards.sample_documents import GatherTask, gather_shard
from dsir_core.stages.count import CorpusCounts, Counts
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
class StoredSample:
    """Where a sample of a corpus lies."""

    receipts: tuple[Receipt, ...]
    """In order of shards."""
    rate: float
    """Share of the corpus's documents that was looked at, about."""

    @property
    def signature(self) -> list[Any]:
        """What a result made of it depends on."""
        return [self.rate, *(receipt.sha256 for receipt in self.receipts)]


def sample_raw(work: StageWork, plan: Plan, counts: Counts, size: SampleSize) -> StoredSample:
    """A sample of raw."""
    known = counts.raw.tally.documents / counts.rate
    return _sample(work, "raw", plan.raw, known, counts.raw.tally, work.run.config.read, counts, size)


def sample_target(
    work: StageWork,
    plan: Plan,
    counts: Counts,
    name: str,
    read: ReadSettings,
    size: SampleSize,
    *,
    places: bool = False,
) -> StoredSample:
    """A sample of a target.

    Args:
        places: whether it is wanted where the documents stand, see `load_places`.
    """
    counted: CorpusCounts = counts.targets[name]
    known = counted.tally.documents
    corpus = plan.targets[name]
    return _sample(work, f"target {name}", corpus, known, counted.tally, read, counts, size, places=places)


def load_sample(store: Store, samples: Sequence[StoredSample], bound: Bound) -> SparseDocuments:
    """A sample of some corpora together, in which each has its share of documents."""
    gathering = BottomKSample(bound)
    rate = min(sample.rate for sample in samples)
    for sample in samples:
        for receipt in sample.receipts:
            part = SparseDocuments.from_bytes(store.read(receipt.name)).thinned(sample.rate, rate)
            if len(part):
                gathering.extend(part)
    return gathering.sample()


def load_places(store: Store, samples: Sequence[StoredSample], documents: SparseDocuments) -> Places:
    """Where the documents of such a sample stand, and in which of the corpora."""
    found = []
    for corpus, sample in enumerate(samples):
        for receipt in sample.receipts:
            with np.load(io.BytesIO(store.read(receipt.name)), allow_pickle=False) as arrays:
                found.append(Places.from_arrays(arrays).scaled(sample.rate, corpus))
    return Places.joined(found).at(documents.order)


def _sample(
    work: StageWork,
    name: str,
    corpus: PlannedCorpus,
    known: float,
    tally: Tally,
    read: ReadSettings,
    counts: Counts,
    size: SampleSize,
    *,
    places: bool = False,
) -> StoredSample:
    """A sample of a corpus.

    Args:
        known: documents of the corpus, about.
        tally: of what was counted of it.
    """
    config = work.run.config
    wanted = size.times * size.bound.documents
    files, documents = _some_files(corpus, known, wanted)
    shards = [
        replace(shard, ranges=ranges)
        for shard in corpus.shards
        if shard not in counts.damaged and (ranges := tuple(r for r in shard.ranges if r.file.path in files))
    ]
    blocks = BlockSample(size.rate(documents))
    ngrams = config.ngrams * tally.tokens / max(tally.documents, 1)
    share = size.share(blocks.rate * documents, min(config.buckets, ngrams))
    strata = config.strata if places and config.quotas == "target" else None
    tasks = LazySequence(
        len(shards),
        lambda index: GatherTask(
            config.workdir_url, shards[index], read, config.features, name, blocks, share, size.bound, places, strata
        ),
    )
    work.announce(shards)
    receipts: dict[int, Receipt] = {}
    for index, result in work.map(gather_shard, tasks, shards):
        receipts[index] = result.receipt.compact()
    rate = blocks.rate * min(1.0, documents / max(known, 1.0))
    return StoredSample(tuple(receipts[index] for index in sorted(receipts)), rate)


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
