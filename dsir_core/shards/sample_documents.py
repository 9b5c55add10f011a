"""A bounded sample of a corpus's documents as sparse n-gram counts, whatever shards they are read in."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsir_core.checkpoints.cached import find_or_make
from dsir_core.checkpoints.kinds import DOCUMENTS
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.corpus.fields import stratum_of
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Batch
from dsir_core.features import count_each
from dsir_core.model.compact_sample import BottomKSample, Bound, SparseDocuments
from dsir_core.model.noise import document_bits
from dsir_core.model.places import Places
from dsir_core.shards.count import BlockSample
from dsir_core.shards.reading import quarantining, read_shard
from dsir_core.shards.task import SourceTask


@dataclass(frozen=True)
class GatherTask(SourceTask):
    """One shard of a corpus of which some documents are wanted."""

    kind = DOCUMENTS
    corpus: str
    """Which corpus it is: each has a random order of its own."""
    blocks: BlockSample
    share: float
    """Of the documents of these blocks, those that may be in the sample."""
    bound: Bound
    places: bool = False
    """Whether it is wanted where the documents stand."""
    strata: str | None = None
    """Field whose value is wanted with that."""

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {
            **self.source,
            "corpus": self.corpus,
            "rate": self.blocks.rate,
            "share": self.share,
            "bound": [self.bound.documents, self.bound.entries],
            **({"places": self.strata or ""} if self.places else {}),
        }


@dataclass(frozen=True)
class GatherResult:
    """Where the documents of one shard lie."""

    receipt: Receipt
    tally: Tally
    reused: bool
    seconds: float


def sample_batch(
    batch: Batch, path: str, corpus: str, features: FeatureSettings, gathering: BottomKSample
) -> tuple[list[int], list[int]]:
    """Add the documents of a batch that may be in the sample.

    Args:
        path: of the batch's file, relative to the corpus root. corpus: names the random order.

    Returns:
        Which documents these are, and the order of each.
    """
    order = document_bits(batch.positions, path, batch.offsets, "documents", corpus)
    which = np.flatnonzero(order < gathering.limit)
    gathering.extend(SparseDocuments(order[which], *count_each(batch.text_data, batch.text_offsets, which, features)))
    return which.tolist(), order[which].tolist()


def gather_shard(task: GatherTask) -> GatherResult:
    """Put a shard's part of the sample into the store, or take what is there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    store = Store(task.workdir)

    def make(draft: Draft) -> Tally:
        found, tally, places = _gather(store, task)
        draft.stream.write(found.to_bytes(**(places.at(found.order).arrays() if task.places else {})))
        draft.summary.update(tally.to_json())
        return tally

    done = find_or_make(store, task.kind, task.key, lambda receipt: Tally.from_json(receipt.summary), make)
    return GatherResult(done.receipt, done.value, done.reused, done.seconds)


def _gather(store: Store, task: GatherTask) -> tuple[SparseDocuments, Tally, Places]:
    gathering, tally, places = BottomKSample(task.bound, task.share), Tally(), list[Places]()
    fields = (task.strata,) if task.strata is not None else ()
    keep_block = task.blocks.keep_block if task.blocks.rate < 1 else None
    with quarantining(store, task.shard, task.read, tally, write=False) as quarantine:
        for file_range, batch in read_shard(task.shard, task.read, tally, quarantine, keep_block, fields):
            path = file_range.file.path
            which, order = sample_batch(batch, path, task.corpus, task.features, gathering)
            if task.places:
                strata = [stratum_of(batch.fields[i][0]) if fields else "" for i in which]
                places.append(Places.of(order, [path] * len(which), batch.positions[which].tolist(), strata))
    return gathering.found(), tally, Places.joined(places)


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


def load_sample(store: Store, samples: Sequence[StoredSample], bound: Bound) -> SparseDocuments:
    """A sample of some corpora together, in which each has its share of documents."""
    gathering = BottomKSample(bound)
    for part, _, _ in _stored(store, samples):
        gathering.extend(part)
    return gathering.sample()


def load_with_places(store: Store, samples: Sequence[StoredSample], bound: Bound) -> tuple[SparseDocuments, Places]:
    """Such a sample, and where its documents stand and in which of the corpora; all were gathered with `places`."""
    gathering, places = BottomKSample(bound), list[Places]()
    for part, arrays, corpus in _stored(store, samples):
        gathering.extend(part)
        places.append(Places.from_arrays(arrays).scaled(samples[corpus].rate, corpus))
    documents = gathering.sample()
    return documents, Places.joined(places).at(documents.order)


def _stored(store: Store, samples: Sequence[StoredSample]) -> Iterator[tuple[SparseDocuments, Mapping[str, Any], int]]:
    """What each shard has for a sample of all, the arrays that are stored of it, and the index of its corpus."""
    least = min(sample.rate for sample in samples)
    for corpus, sample in enumerate(samples):
        for receipt in sample.receipts:
            with np.load(io.BytesIO(store.read(receipt.name)), allow_pickle=False) as arrays:
                yield SparseDocuments.from_arrays(arrays).thinned(sample.rate, least), arrays, corpus
