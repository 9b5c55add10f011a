"""N-grams of shards kept in a process's memory between counting and scoring, so that a small corpus is read once.

What is kept changes no result: scoring it adds the same numbers in the same order, and a shard that is not there is
read again. Memory is bounded for each process; shards that do not fit are not kept.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Batch, FileRange
from dsir_core.features.batch import KeptNgrams, count_and_keep

MIN_SHARD_BYTES = 2**20
"""Smaller shards are as cheap to read again."""

MAX_BATCH_BYTES = 2**23
"""Of text; a larger document would need several times its size while it is counted."""


@dataclass(frozen=True)
class KeptBatch:
    """The documents of one batch."""

    file_range: FileRange
    positions: npt.NDArray[np.int64]
    ngrams: KeptNgrams

    @property
    def n_bytes(self) -> int:
        """Memory of the arrays."""
        return self.positions.nbytes + self.ngrams.n_bytes


@dataclass
class KeptShard:
    """The documents of one shard, while it is counted and afterwards."""

    batches: list[KeptBatch] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    """What was read; there once the shard is counted."""
    n_bytes: int = 0


class NgramCache:
    """The kept shards of a process; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = ""
        self._shards: dict[str, KeptShard] = {}

    def put(self, run: str, key: str, shard: KeptShard, limit: int) -> bool:
        """Keep a shard, if no more than `limit` bytes are then kept; whether it is.

        Args:
            run: whose shards these are; those of another are forgotten.
            key: the shard's identity and features.
        """
        with self._lock:
            if run != self._run:
                self._run, self._shards = run, {}
            if self._n_bytes() + shard.n_bytes > limit:
                return False
            self._shards[key] = shard
            return True

    def take(self, key: str) -> KeptShard | None:
        """A shard, which is then no longer kept; None where it is not."""
        with self._lock:
            return self._shards.pop(key, None)

    def holds(self, key: str) -> bool:
        """Whether a shard is kept."""
        with self._lock:
            return key in self._shards

    def room(self, run: str, limit: int) -> int:
        """Bytes that can still be kept for a run."""
        with self._lock:
            return limit - (self._n_bytes() if run == self._run else 0)

    def _n_bytes(self) -> int:
        return sum(shard.n_bytes for shard in self._shards.values())


NGRAM_CACHE = NgramCache()
"""Of this process."""


class NgramRecorder:
    """Counts batches of a shard and keeps their n-grams for as long as there is room.

    Args:
        room: bytes that may be kept.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._shard: KeptShard | None = KeptShard()

    def count(
        self, file_range: FileRange, batch: Batch, features: FeatureSettings, counts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int32] | None:
        """Tokens of each document, counted and kept; None when this batch must be counted in the ordinary way."""
        shard = self._shard
        if shard is None:
            return None
        if int(batch.text_offsets[-1] - batch.text_offsets[0]) > MAX_BATCH_BYTES or shard.n_bytes > self._room:
            self._shard = None  # half a shard is of no use
            return None
        ngrams = count_and_keep(batch.text_data, batch.text_offsets, features, counts)
        shard.batches.append(KeptBatch(file_range, batch.positions, ngrams))
        shard.n_bytes += shard.batches[-1].n_bytes
        return ngrams.n_tokens

    def shard(self, tally: Tally) -> KeptShard | None:
        """The whole shard, or None where something did not fit."""
        if self._shard is not None:
            self._shard.tally = tally
        return self._shard
