"""A bounded sample of a corpus's documents as sparse n-gram counts, whatever shards they are read in."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from dsir_core.checkpoints.store import Receipt, Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.digests import digest
from dsir_core.features import TOKENIZER_VERSION, count_ngrams
from dsir_core.model.compact_sample import BottomKSample, Bound
from dsir_core.model.noise import document_bits
from dsir_core.shards.count import BlockSample
from dsir_core.shards.reading import identity, quarantining, read_shard

SAMPLE_VERSION = "documents-v1"
KIND = "documents"


@dataclass(frozen=True)
class GatherTask:
    """One shard of a corpus of which some documents are wanted."""

    workdir: str
    shard: Shard
    read: ReadSettings
    features: FeatureSettings
    corpus: str
    """Which corpus it is: each has a random order of its own."""
    blocks: BlockSample
    bound: Bound

    @property
    def checkpoint(self) -> str:
        """The checkpoint's kind and key."""
        return f"{KIND}/{self.key}"

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return digest(
            {
                "format": SAMPLE_VERSION,
                "tokenizer": TOKENIZER_VERSION,
                "features": self.features,
                "shard": identity(self.shard, self.read),
                "corpus": self.corpus,
                "rate": self.blocks.rate,
                "bound": [self.bound.documents, self.bound.entries],
            }
        )


@dataclass(frozen=True)
class GatherResult:
    """Where the documents of one shard lie."""

    receipt: Receipt
    tally: Tally
    reused: bool
    seconds: float


def gather_shard(task: GatherTask) -> GatherResult:
    """Put a shard's part of the sample into the store, or take what is there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    begin = time.perf_counter()
    store = Store(task.workdir)
    receipt = store.intact(KIND, task.key)
    if receipt is not None:
        return GatherResult(receipt, Tally.from_json(receipt.summary), True, time.perf_counter() - begin)
    gathering, tally = BottomKSample(task.bound, task.features.buckets), Tally()
    keep_block = task.blocks.keep_block if task.blocks.rate < 1 else None
    with quarantining(store, task.shard, task.read, tally, write=False) as quarantine:
        for file_range, batch in read_shard(task.shard, task.read, tally, quarantine, keep_block):
            order = document_bits(batch.positions, file_range.file.path, batch.offsets, "documents", task.corpus)
            for i in np.flatnonzero(order < gathering.limit).tolist():
                offsets = batch.text_offsets[i : i + 2]
                count_ngrams(batch.text_data, offsets, task.features, gathering.counts)
                gathering.add(order[i])
    with store.checkpoint(KIND, task.key, ".npz", tally.to_json()) as draft:
        draft.stream.write(gathering.found().to_bytes())
    return GatherResult(draft.sealed, tally, False, time.perf_counter() - begin)
