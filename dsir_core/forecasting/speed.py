"""How long stages will take: seconds a stored byte on this machine, measured now, and what is known of the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsir_core.config.request import SelectConfig
from dsir_core.corpus.types import Shard
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.text_hashes import text_hashes
from dsir_core.forecasting.probe import is_enterable, longest, plain_format, read_probe
from dsir_core.model.importance import FittedModel
from dsir_core.stages.document_samples import MIN_FILES

SPEED_BYTES = 16 * 2**20
"""Decompressed bytes of each kind of file that are read, counted and scored to see how fast that is."""

SHARD_SECONDS = 0.005
"""Of the driver and the scheduler for each shard of each stage; docs/performance.md."""

RESAMPLE_SECONDS = 3.5e-7
"""Of one worker for each document: the passes over the weights; docs/scale.md."""

MARK_SECONDS = 2e-6
"""Of one worker for each document: its hash sorted into an index, compared with all others, and its weight written
again. 0.8e-6 for 277,046 documents; in a partition of 8,000,000, sorting takes twice as long for each."""

WRITE_BYTES_PER_SECOND = 100e6
"""Of one worker, for the text of the selection: taken, compressed, written to parts."""

REPORT_SECONDS = 1.0

MEASURE_SECONDS = 0.3
"""Of one core: near-copies, and the sums and ranks of all candidates, in the largest samples."""


@dataclass(frozen=True)
class Speed:
    """Seconds of one worker for each stored byte of one kind of file."""

    read: float
    count: float
    score: float
    hash: float = 0.0
    """Of the texts, where copies of documents are looked for."""


@dataclass(frozen=True)
class Amount:
    """What is left to do in one stage."""

    stored: Mapping[str, float]
    """Stored bytes by kind of file."""
    shards: int


def measure_speed(config: SelectConfig, shards: Sequence[Shard], model: FittedModel) -> dict[str, Speed]:
    """Read, count and score the beginning of the longest range of each kind of file, on one core.

    Raises:
        DamagedFileError, RequestError, OSError: it cannot be read.
    """
    found: dict[str, Speed] = {}
    counts = np.zeros(config.buckets, np.int64)
    for kind, probe in longest(shards, SPEED_BYTES).items():
        read_seconds = count_seconds = score_seconds = hash_seconds = 0.0
        n_stored: float = probe.n_stored
        begin = time.perf_counter()
        for batch, read in read_probe(probe, config.read):
            was_read = time.perf_counter()
            count_ngrams(batch.text_data, batch.text_offsets, config.features, counts)
            was_counted = time.perf_counter()
            score_ngrams(batch.text_data, batch.text_offsets, config.features, model.log_ratio)
            n_stored = read.n_stored
            read_seconds += was_read - begin
            count_seconds += was_counted - was_read
            was_scored = time.perf_counter()
            if config.marks_copies:
                text_hashes(batch.text_data, batch.text_offsets)
            begin = time.perf_counter()
            score_seconds += was_scored - was_counted
            hash_seconds += begin - was_scored
        n_stored = max(1.0, n_stored)
        seconds = (read_seconds, count_seconds, score_seconds, hash_seconds)
        found[kind] = Speed(*(each / n_stored for each in seconds))
    return found


def count_seconds(speed: Mapping[str, Speed], amount: Amount, rate: float, workers: int) -> float:
    """Of counting raw.

    Args:
        rate: share of the corpus that is counted; files whose blocks cannot be skipped are read whole even so.
    """
    seconds = 0.0
    for kind, n_stored in amount.stored.items():
        each = speed[kind]
        format_ = plain_format(kind)
        skips = format_ is not None and format_.skips_blocks
        seconds += n_stored * (each.read * (rate if skips else 1.0) + each.count * rate)
    return seconds / workers + amount.shards * SHARD_SECONDS


def recover_seconds(speed: Mapping[str, Speed], amount: Amount, share: float, files: int, workers: int) -> float:
    """Of gathering a sample of a corpus, and its part in measuring recovery.

    Args:
        share: of the corpus's documents that is looked at.
        files: of the corpus; some of those whose blocks cannot be skipped are read whole.
    """
    per_byte = Speed(*(max(getattr(each, what) for each in speed.values()) for what in ("read", "count", "score")))
    seconds = MEASURE_SECONDS * workers
    for kind, n_stored in amount.stored.items():
        each = speed.get(kind, per_byte)
        format_ = plain_format(kind)
        skips = format_ is not None and format_.skips_blocks
        read = share if skips else min(1.0, max(share, MIN_FILES / max(1, files)))
        seconds += n_stored * (each.read * read + each.count * share)
    return seconds / workers + amount.shards * SHARD_SECONDS


def score_seconds(speed: Mapping[str, Speed], amount: Amount, workers: int) -> float:
    """Of scoring raw, and of hashing its texts where copies are looked for."""
    seconds = 0.0
    for kind, n_stored in amount.stored.items():
        each = speed[kind]
        seconds += n_stored * (each.read + each.score + each.hash)
    return seconds / workers + amount.shards * SHARD_SECONDS


def mark_seconds(speed: Mapping[str, Speed], documents: float, target_bytes: float, shards: int, workers: int) -> float:
    """Of marking copies.

    Args:
        documents: of raw. target_bytes: stored bytes of the targets whose texts are hashed.
    """
    per_byte = max((each.read + each.hash for each in speed.values()), default=0.0)
    return (documents * MARK_SECONDS + target_bytes * per_byte) / workers + 2 * shards * SHARD_SECONDS


def resample_seconds(documents: float, shards: int, workers: int) -> float:
    """Of choosing among documents."""
    return documents * RESAMPLE_SECONDS / workers + 3 * shards * SHARD_SECONDS


def write_seconds(speed: Mapping[str, Speed], amount: Amount, text_bytes: float, workers: int) -> float:
    """Of taking the chosen records; files that cannot be entered in the middle are read whole.

    Args:
        text_bytes: of the selection.
    """
    seconds = text_bytes / WRITE_BYTES_PER_SECOND
    seconds += sum(n * speed[kind].read for kind, n in amount.stored.items() if not is_enterable(kind))
    return seconds / workers + amount.shards * SHARD_SECONDS
