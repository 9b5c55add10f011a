"""N-gram counts of a shard, over all of it or over a sample of its blocks."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.fields import check_strata, stratum_of
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Batch, BlockFilter, FileRange, Shard
from dsir_core.digests import digest
from dsir_core.features import TOKENIZER_VERSION, can_keep, count_ngrams
from dsir_core.features.unspaced import unspaced_bytes
from dsir_core.model.noise import random_bits
from dsir_core.shards.ngram_cache import MIN_SHARD_BYTES, NGRAM_CACHE, NgramRecorder
from dsir_core.shards.reading import identity, quarantining, read_shard

COUNTS_VERSION = "counts-v1"


@dataclass(frozen=True)
class BlockSample:
    """A sample of a corpus by blocks: a block is in it when its own hash says so, whatever shard it is read in.

    Samples nest: every block of a smaller rate is in the sample of a larger one.
    """

    rate: float
    """Share of all blocks, above 0; from 1 on, everything."""

    def keep_block(self, path: str) -> BlockFilter:
        """Which blocks of a file are in the sample."""
        limit = np.uint64(min(int(self.rate * 2**64), 2**64 - 1))
        return lambda blocks: random_bits(blocks, "fit sample", path) < limit


@dataclass(frozen=True)
class TargetCounting:
    """What is wanted of a target beside its counts."""

    folds: int = 1
    """Counts are int64[folds, buckets] when there are several; a document's own hash says which is its."""
    strata: str | None = None
    """Field by whose values documents and tokens are wanted."""

    def fold_of(self, path: str, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64[n]: folds of the documents at `positions` of a file."""
        return (random_bits(positions, "smoothing fold", path) % np.uint64(self.folds)).astype(np.int64)


@dataclass(frozen=True)
class CountTask:
    """One shard to count."""

    workdir: str
    shard: Shard
    read: ReadSettings
    features: FeatureSettings
    sample: BlockSample | None = None
    keep_bytes: int = 0
    """Memory of this process for n-grams that scoring will want."""
    target: TargetCounting | None = None
    """For a shard of a target."""

    @property
    def place(self) -> str:
        """Names the shard's n-grams, wherever they are kept."""
        return place_of(self.shard, self.read, self.features)

    @property
    def checkpoint(self) -> str:
        """The checkpoint's kind and key."""
        return f"counts/{self.key}"

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
                "target": [self.target.folds, self.target.strata] if self.target else None,
            }
        )


@dataclass(frozen=True)
class CountResult:
    """Counts of one shard."""

    counts: npt.NDArray[np.int64]
    tally: Tally
    reused: bool
    seconds: float
    kept: bool = False
    """Whether this process keeps the shard's n-grams for scoring."""


def place_of(shard: Shard, read: ReadSettings, features: FeatureSettings) -> str:
    """What the n-grams of a shard depend on."""
    return digest({"tokenizer": TOKENIZER_VERSION, "features": features, "shard": identity(shard, read)})


def count_shard(task: CountTask) -> CountResult:
    """Count the n-grams of a shard into the store, or take the counts that are there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    begin = time.perf_counter()
    store = Store(task.workdir)
    found = store.load("counts", task.key)
    if found is not None:
        receipt, data = found
        counts = np.load(io.BytesIO(data), allow_pickle=False)
        return CountResult(counts, Tally.from_json(receipt.summary), True, time.perf_counter() - begin)
    folds = task.target.folds if task.target is not None else 1
    counts = np.zeros((folds, task.features.buckets) if folds > 1 else task.features.buckets, np.int64)
    tally = Tally()
    keeping = _keeping(task)
    with quarantining(store, task.shard, task.read, tally, write=task.sample is None) as quarantine:
        keep = task.sample.keep_block if task.sample else None
        fields = (task.target.strata,) if task.target is not None and task.target.strata is not None else ()
        for file_range, batch in read_shard(task.shard, task.read, tally, quarantine, keep, fields):
            n_tokens = keeping.count(file_range, batch, task.features, counts) if keeping else None
            if n_tokens is None:
                n_tokens = _count_batch(task, file_range, batch, counts)
            tally.tokens += int(n_tokens.sum())
            if task.target is not None:
                tally.unspaced_bytes += unspaced_bytes(batch.text_data, batch.text_offsets)
                for (value,), tokens in zip(batch.fields, n_tokens.tolist(), strict=False):
                    tally.add_stratum(stratum_of(value), 1, tokens)
                check_strata(tally.strata, task.target.strata, file_range.file.path)
    summary = tally.to_json()
    with store.checkpoint("counts", task.key, ".npy", summary) as draft:
        np.save(draft.stream, counts, allow_pickle=False)
    shard = keeping.shard(tally) if keeping else None
    kept = shard is not None and NGRAM_CACHE.put(task.workdir, task.place, shard, task.keep_bytes)
    return CountResult(counts, tally, False, time.perf_counter() - begin, kept)


def _count_batch(
    task: CountTask, file_range: FileRange, batch: Batch, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Tokens of each document of a batch that has been added to the counts, by fold where there are several."""
    if counts.ndim == 1:
        whole: npt.NDArray[np.int32] = count_ngrams(batch.text_data, batch.text_offsets, task.features, counts)
        return whole
    assert task.target is not None
    folds = task.target.fold_of(file_range.file.path, batch.positions)
    n_tokens = np.zeros(len(batch), np.int32)
    for fold in np.unique(folds):
        mine = folds == fold
        n_tokens[mine] = count_ngrams(*texts_of(batch, mine), task.features, counts[fold])
    return n_tokens


def _keeping(task: CountTask) -> NgramRecorder | None:
    """What keeps the shard's n-grams; None where they are not wanted, or not worth it.

    Fresh memory for what XXH3 makes of a local file costs about as much as reading and hashing it again.
    """
    is_dear = task.features.hash == "sha256" or any("://" in file_range.file.url for file_range in task.shard.ranges)
    if (
        task.read.chunk is not None
        or task.sample is not None
        or not is_dear
        or not can_keep(task.features)
        or task.shard.n_bytes < MIN_SHARD_BYTES
    ):
        return None
    room = NGRAM_CACHE.room(task.workdir, task.keep_bytes)
    return NgramRecorder(room) if room > 0 else None
