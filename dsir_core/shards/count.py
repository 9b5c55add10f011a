"""N-gram counts of a shard, over all of it or over a sample of its blocks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import array_from, load_or_make, write_array
from dsir_core.checkpoints.kinds import COUNTS
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.hashes import HASHES
from dsir_core.corpus.fields import check_strata, stratum_of
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import BlockFilter
from dsir_core.digests import digest
from dsir_core.features import can_keep, count_ngrams
from dsir_core.features.unspaced import unspaced_bytes
from dsir_core.model.noise import random_bits
from dsir_core.shards.ngram_cache import MIN_SHARD_BYTES, NGRAM_CACHE, NgramRecorder
from dsir_core.shards.reading import quarantining, read_shard
from dsir_core.shards.task import SourceTask


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

    strata: str | None = None
    """Field by whose values documents and tokens are wanted."""


@dataclass(frozen=True)
class CountTask(SourceTask):
    """One shard to count."""

    kind = COUNTS
    sample: BlockSample | None = None
    keep_bytes: int = 0
    """Memory of this process for n-grams that scoring will want."""
    target: TargetCounting | None = None
    """For a shard of a target."""

    @property
    def place(self) -> str:
        """Names the shard's n-grams, wherever they are kept."""
        return digest(self.source)

    @property
    def keeps(self) -> bool:
        """Whether n-grams are wanted for scoring, and worth their memory.

        Fresh memory for what XXH3 makes of a local file costs about as much as reading and hashing it again.
        """
        is_remote = any("://" in file_range.file.url for file_range in self.shard.ranges)
        return (
            self.keep_bytes > 0
            and self.sample is None
            and self.read.chunk is None
            and (HASHES[self.features.hash].is_expensive or is_remote)
            and can_keep(self.features)
            and self.shard.n_bytes >= MIN_SHARD_BYTES
        )

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {
            **self.source,
            "rate": self.sample.rate if self.sample else None,
            "target": [self.target.strata] if self.target else None,
        }


@dataclass(frozen=True)
class CountResult:
    """Counts of one shard."""

    counts: npt.NDArray[np.int64]
    tally: Tally
    reused: bool
    seconds: float


def content_of(counts: npt.NDArray[np.int64]) -> str:
    """Names counts by what they are."""
    return hashlib.sha256(np.ascontiguousarray(counts, "<i8").tobytes()).hexdigest()


def count_shard(task: CountTask) -> CountResult:
    """Count the n-grams of a shard into the store, or take the counts that are there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    store = Store(task.workdir)

    def load(receipt: Receipt, data: bytes) -> tuple[npt.NDArray[np.int64], Tally]:
        return array_from(data), Tally.from_json(receipt.summary)

    def make(draft: Draft) -> tuple[npt.NDArray[np.int64], Tally]:
        counts, tally = _count(store, task)
        write_array(draft, counts)
        draft.summary.update(tally.to_json())
        return counts, tally

    done = load_or_make(store, task.kind, task.key, load, make)
    return CountResult(*done.value, done.reused, done.seconds)


def _count(store: Store, task: CountTask) -> tuple[npt.NDArray[np.int64], Tally]:
    """Read and count a shard; its n-grams are kept where there is room for them."""
    counts = np.zeros(task.features.buckets, np.int64)
    tally = Tally()
    room = NGRAM_CACHE.room(task.workdir, task.keep_bytes) if task.keeps else 0
    recorder = NgramRecorder(room) if room > 0 else None
    with quarantining(store, task.shard, task.read, tally, write=task.sample is None) as quarantine:
        keep = task.sample.keep_block if task.sample else None
        fields = (task.target.strata,) if task.target is not None and task.target.strata is not None else ()
        for file_range, batch in read_shard(task.shard, task.read, tally, quarantine, keep, fields):
            n_tokens = recorder.count(file_range, batch, task.features, counts) if recorder else None
            if n_tokens is None:
                n_tokens = count_ngrams(batch.text_data, batch.text_offsets, task.features, counts)
            tally.tokens += int(n_tokens.sum())
            if task.target is not None:
                tally.unspaced_bytes += unspaced_bytes(batch.text_data, batch.text_offsets)
                for (value,), tokens in zip(batch.fields, n_tokens.tolist(), strict=False):
                    tally.add_stratum(stratum_of(value), 1, tokens)
                check_strata(tally.strata, task.target.strata, file_range.file.path)
    if recorder is not None and (shard := recorder.shard(tally)) is not None:
        NGRAM_CACHE.put(task.workdir, task.place, shard, task.keep_bytes)
    return counts, tally
