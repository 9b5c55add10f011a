"""N-gram counts of a shard, over all of it or over a sample of its blocks."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.corpus.types import ReadSettings, Shard
from dsir_core.digests import digest
from dsir_core.ngrams import TOKENIZER_VERSION, count_ngrams
from dsir_core.ngrams.settings import FeatureSettings
from dsir_core.noise import random_bits
from dsir_core.shard_work import KeepBlock, identity, quarantining, read_shard
from dsir_core.store import Store
from dsir_core.tally import Tally

COUNTS_VERSION = "counts-v1"


@dataclass(frozen=True)
class BlockSample:
    """A sample of a corpus by blocks: a block is in it when its own hash says so, whatever shard it is read in.

    Samples nest: every block of a smaller rate is in the sample of a larger one.
    """

    rate: float
    """Share of all blocks, above 0; from 1 on, everything."""

    def keep_block(self, path: str) -> KeepBlock:
        """Which blocks of a file are in the sample."""
        limit = np.uint64(min(int(self.rate * 2**64), 2**64 - 1))
        return lambda blocks: random_bits(blocks, "fit sample", path) < limit


@dataclass(frozen=True)
class CountTask:
    """One shard to count."""

    workdir: str
    shard: Shard
    read: ReadSettings
    features: FeatureSettings
    sample: BlockSample | None = None

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return digest(
            {
                "format": COUNTS_VERSION,
                "tokenizer": TOKENIZER_VERSION,
                "features": self.features,
                "shard": identity(self.shard, self.read),
                "rate": self.sample.rate if self.sample else None,
            }
        )


@dataclass(frozen=True)
class CountResult:
    """Counts of one shard."""

    counts: npt.NDArray[np.int64]
    tally: Tally
    reused: bool
    seconds: float


def count_shard(task: CountTask) -> CountResult:
    """Count the n-grams of a shard into the store, or take the counts that are there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    begin = time.perf_counter()
    store = Store(task.workdir)
    receipt = store.receipt("counts", task.key)
    if receipt is not None:
        counts = np.load(io.BytesIO(store.load(receipt)), allow_pickle=False)
        return CountResult(counts, Tally.from_json(receipt.summary), True, time.perf_counter() - begin)
    counts = np.zeros(task.features.buckets, np.int64)
    tally = Tally()
    with quarantining(store, task.shard, task.read, tally, write=task.sample is None) as quarantine:
        keep = task.sample.keep_block if task.sample else None
        for _, batch in read_shard(task.shard, task.read, tally, quarantine, keep):
            tally.tokens += int(count_ngrams(batch.text_data, batch.text_offsets, task.features, counts).sum())
    summary = tally.to_json()
    with store.checkpoint("counts", task.key, ".npy", summary) as draft:
        np.save(draft.stream, counts, allow_pickle=False)
    return CountResult(counts, tally, False, time.perf_counter() - begin)
