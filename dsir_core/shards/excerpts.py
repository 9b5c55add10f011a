"""Bounded samples of documents for the report: the beginnings of some ranges, spread over a corpus."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import Batch, FileRange, Shard
from dsir_core.features import score_ngrams
from dsir_core.shards.score import load_model

TARGET_PIECES = 16
TARGET_BYTES = 4 * 2**20
"""Of text of each target, scored for its histogram."""

TARGET_DOCUMENTS = 20_000


@dataclass(frozen=True)
class Excerpt:
    """Where documents are taken from."""

    ranges: tuple[FileRange, ...]
    read: ReadSettings
    n_bytes: int
    """Of text, from all ranges together."""

    @classmethod
    def spread(cls, shards: Sequence[Shard], read: ReadSettings, n_pieces: int, n_bytes: int) -> Excerpt:
        """From ranges that stand evenly spaced in a corpus."""
        ranges = [file_range for shard in shards for file_range in shard.ranges]
        return cls(tuple(ranges[i] for i in evenly(len(ranges), n_pieces)), read, n_bytes)

    def batches(self) -> Iterator[tuple[Batch, int]]:
        """Batches, and how many of their documents (from the first on) belong to the sample.

        Each range gives documents from its beginning on, as many as fit its share of the bytes, and at least one.
        """
        for file_range in self.ranges:
            yield from _beginning(file_range, self.read, self.n_bytes // len(self.ranges))


def evenly(n: int, wanted: int) -> list[int]:
    """At most `wanted` indices below n, evenly spaced, the first and the last among them."""
    return [int(i) for i in np.linspace(0, n - 1, min(n, wanted)).round()]


def _beginning(file_range: FileRange, read: ReadSettings, n_bytes: int) -> Iterator[tuple[Batch, int]]:
    left = n_bytes
    with contextlib.closing(read_range(file_range, read)) as batches:  # type: ignore[type-var]
        for batch in batches:
            ends = batch.text_offsets[1:] - batch.text_offsets[0]
            fitting = int(np.searchsorted(ends, left, side="right"))
            if fitting < len(batch):
                yield batch, fitting or int(left == n_bytes)
                return
            if len(batch):
                yield batch, fitting
                left -= int(ends[-1])


@dataclass(frozen=True)
class WeighTask:
    """A sample of one target, to be scored."""

    sample: Excerpt
    features: FeatureSettings
    workdir: str
    model_digest: str


@dataclass(frozen=True)
class Weighed:
    """Log weights of a target's own documents, at most `TARGET_DOCUMENTS` of them."""

    log_weights: npt.NDArray[np.float64]
    """float64[n, targets that select]."""
    n_tokens: npt.NDArray[np.int32]
    """int32[n]."""


def weigh_target(task: WeighTask) -> Weighed:
    """Score a sample of a target.

    Raises:
        DamagedFileError: a file cannot be read.
    """
    log_ratio = load_model(task.workdir, task.model_digest).log_ratio
    log_weights, n_tokens = [np.empty((0, len(log_ratio)))], [np.empty(0, np.int32)]
    left = TARGET_DOCUMENTS
    for batch, n in task.sample.batches():
        offsets = batch.text_offsets[: min(n, left) + 1]
        found, tokens = score_ngrams(batch.text_data, offsets, task.features, log_ratio)
        log_weights.append(found)
        n_tokens.append(tokens)
        left -= len(tokens)
    return Weighed(np.concatenate(log_weights), np.concatenate(n_tokens))
