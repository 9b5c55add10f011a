"""Counting and scoring batches of documents: the compiled kernels behind plain functions."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.config.functions import function_named
from dsir_core.config.hashes import HASHES, Hash
from dsir_core.features.kernels import run_batch, score_kept, take_counts
from dsir_core.features.unicode_table import ENTRIES, INDEX
from dsir_core.features.unicode_table import TOKENIZER_VERSION as TOKENIZER_VERSION
from dsir_core.kernels.cache_key import read_only

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

NO_CACHE = np.zeros((0, 2), np.uint64)
"""Of a hash that needs none."""

_NO_COUNTS = np.zeros(0, np.int64)
_NO_LOG_RATIO = read_only(np.zeros((0, 0)), np.float64)
_NONE_KEPT = np.zeros((0, 0), np.uint16)
MAX_KEPT_BUCKET = 2**16
_of_thread = threading.local()


def count_ngrams(
    text_data: Bytes, text_offsets: Offsets, settings: FeatureSettings, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Add a batch's n-grams to bucket counts.

    Args:
        text_data: uint8[...], valid UTF-8 of all documents.
        text_offsets: int64[n + 1], document i is `text_data[text_offsets[i]:text_offsets[i + 1]]`.
        settings: n-gram order, buckets, hash.
        counts: int64[buckets], added to in place.

    Returns:
        int32[n], tokens of each document.

    Raises:
        ValueError: an array has not the shape or type above, or the offsets leave the data.
    """
    return _count(text_data, text_offsets, settings, counts, _NONE_KEPT)[0]


def count_each(
    text_data: Bytes, text_offsets: Offsets, which: npt.NDArray[np.int64], settings: FeatureSettings
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The n-grams of some documents of a batch, each document's by themselves.

    Args:
        text_data, text_offsets, settings: as for `count_ngrams`.
        which: int64[m], the documents.

    Returns:
        starts int64[m + 1], buckets int32[...] and counts int32[...]: document j of these has the entries
        [starts[j], starts[j + 1]), in order of buckets.

    Raises:
        ValueError: see `count_ngrams`.
    """
    sizes = (text_offsets[which + 1] - text_offsets[which]) * settings.ngrams
    # Most of this memory is never touched.
    room = int(np.minimum(sizes, settings.buckets).sum()) + 1
    buckets, values = np.empty(room, np.int32), np.empty(room, np.int32)
    starts, counts = np.zeros(len(which) + 1, np.int64), np.zeros(settings.buckets, np.int64)
    data, offsets = _checked(text_data, text_offsets)
    n_tokens, n_kept, no_sums = np.empty(1, np.int32), np.zeros(settings.ngrams, np.int64), np.zeros((1, 0), np.float64)
    for j, i in enumerate(which.tolist()):
        _run_checked(data, offsets[i : i + 2], settings, _NO_LOG_RATIO, no_sums, counts, n_tokens, _NONE_KEPT, n_kept)
        starts[j + 1] = take_counts(counts, buckets, values, starts[j])
    return starts, buckets[: starts[-1]].copy(), values[: starts[-1]].copy()


@dataclass(frozen=True)
class KeptNgrams:
    """The n-grams of a batch as buckets, to be scored without reading the text again."""

    buckets: npt.NDArray[np.uint16]
    """By n-gram order, and then as they come."""
    starts: npt.NDArray[np.int64]
    """int64[orders]: where each order begins in `buckets`."""
    n_tokens: npt.NDArray[np.int32]
    """Of each document; it has `n_tokens - order + 1` n-grams of an order, or none."""

    @property
    def n_bytes(self) -> int:
        """Memory of the arrays."""
        return self.buckets.nbytes + self.starts.nbytes + self.n_tokens.nbytes

    def by_order(self) -> list[npt.NDArray[np.uint16]]:
        """The buckets of each order, from 1."""
        return np.split(self.buckets, self.starts[1:])

    def score(self, log_ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Log weights float64[n, targets]: the bits that `score_ngrams` gives for the text.

        Args:
            log_ratio: float64[targets, buckets].
        """
        sums = np.empty((len(self.n_tokens), len(log_ratio)), np.float64)
        score_kept(self.buckets, self.starts, self.n_tokens, read_only(log_ratio.T, np.float64), sums)
        return sums


def can_keep(settings: FeatureSettings) -> bool:
    """Whether the n-grams of such features can be kept: their buckets fit into two bytes."""
    return settings.buckets <= MAX_KEPT_BUCKET


def count_and_keep(
    text_data: Bytes, text_offsets: Offsets, settings: FeatureSettings, counts: npt.NDArray[np.int64]
) -> KeptNgrams:
    """As `count_ngrams`, and keep the n-grams: about 0.7 bytes for a byte of English text.

    Raises:
        ValueError: see `count_ngrams`; or the buckets do not fit into two bytes.
    """
    if not can_keep(settings):
        raise ValueError(f"{settings.buckets} buckets do not fit into two bytes")
    # No text has more tokens than bytes. Most of this memory is never touched.
    room = np.empty((settings.ngrams, int(text_offsets[-1] - text_offsets[0])), np.uint16)
    n_tokens, n_kept = _count(text_data, text_offsets, settings, counts, room)
    buckets = np.concatenate([row[:n] for row, n in zip(room, n_kept, strict=True)])
    return KeptNgrams(buckets, np.cumsum(n_kept) - n_kept, n_tokens)


def _count(
    text_data: Bytes,
    text_offsets: Offsets,
    settings: FeatureSettings,
    counts: npt.NDArray[np.int64],
    kept: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Tokens of each document, and n-grams kept of each order."""
    if counts.shape != (settings.buckets,) or counts.dtype != np.int64 or not counts.flags.carray:
        raise ValueError(f"counts must be a writable int64[{settings.buckets}], not {counts.dtype}{list(counts.shape)}")
    n_tokens, n_kept = np.empty(len(text_offsets) - 1, np.int32), np.zeros(settings.ngrams, np.int64)
    no_sums = np.zeros((len(n_tokens), 0), np.float64)
    data, offsets = _checked(text_data, text_offsets)
    _run_checked(data, offsets, settings, _NO_LOG_RATIO, no_sums, counts, n_tokens, kept, n_kept)
    return n_tokens, n_kept


def score_ngrams(
    text_data: Bytes, text_offsets: Offsets, settings: FeatureSettings, log_ratio: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Log importance weights of a batch: for each document the sum over its n-grams of the bucket's log ratio.

    The same bits for any batching (reference: `np.dot(log_diff, counts)`, equal but for rounding).

    Args:
        text_data, text_offsets, settings: as for `count_ngrams`.
        log_ratio: float64[targets, buckets].

    Returns:
        log weights float64[n, targets], and tokens int32[n].

    Raises:
        ValueError: an array has not the shape or type above, or the offsets leave the data.
    """
    if log_ratio.ndim != 2 or len(log_ratio) == 0 or log_ratio.shape[1] != settings.buckets:
        raise ValueError(
            f"log_ratio must be float64[targets, {settings.buckets}], not of shape {list(log_ratio.shape)}"
        )
    n_tokens = np.empty(len(text_offsets) - 1, np.int32)
    sums = np.empty((len(n_tokens), len(log_ratio)), np.float64)
    data, offsets = _checked(text_data, text_offsets)
    # One n-gram reads the log ratios of all targets: they stand side by side.
    table = read_only(log_ratio.T, np.float64)
    _run_checked(data, offsets, settings, table, sums, _NO_COUNTS, n_tokens, _NONE_KEPT, _NO_COUNTS)
    return sums, n_tokens


def warm_up(settings: FeatureSettings) -> None:
    """Compile, or load from Numba's cache on disk, what batches of these settings need."""
    text, offsets = np.zeros(1, np.uint8), np.array([0, 1])
    count_ngrams(text, offsets, settings, np.zeros(settings.buckets, np.int64))
    count_each(text, offsets, np.zeros(1, np.int64), settings)


def _checked(text_data: Bytes, text_offsets: Offsets) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A batch as the kernel takes it, which trusts its arguments: what is wrong would be read outside of the arrays.

    Raises:
        ValueError: see `count_ngrams`.
    """
    if text_data.dtype != np.uint8 or text_data.ndim != 1:
        raise ValueError(f"text_data must be uint8[...], not {text_data.dtype}{list(text_data.shape)}")
    offsets = read_only(text_offsets, np.int64)
    if offsets[0] < 0 or offsets[-1] > len(text_data) or (np.diff(offsets) < 0).any():
        raise ValueError("text_offsets must not fall, nor leave text_data")
    return read_only(text_data, np.uint8), offsets


def _run_checked(
    data: Bytes,
    offsets: Offsets,
    settings: FeatureSettings,
    log_ratio: npt.NDArray[Any],
    sums: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    n_tokens: npt.NDArray[np.int32],
    kept: npt.NDArray[np.uint16],
    n_kept: npt.NDArray[np.int64],
) -> None:
    hashed = HASHES[settings.hash]
    try:
        run_batch(
            data,
            offsets,
            settings.ngrams,
            settings.buckets,
            (INDEX, ENTRIES[settings.tokenizer]),
            hashed.selector,
            _cache(hashed, settings.buckets),
            log_ratio,
            sums,
            counts,
            n_tokens,
            kept,
            n_kept,
        )
    except BaseException:
        # The kernel may have left entries in the cache whose buckets it had not yet computed.
        if hasattr(_of_thread, "cache"):
            del _of_thread.cache
        raise


def _cache(hashed: Hash, buckets: int) -> npt.NDArray[np.uint64]:
    """This thread's cache of a hash's buckets, kept from batch to batch; an empty one for a hash that has none."""
    if hashed.cache is None:
        return NO_CACHE
    if not hasattr(_of_thread, "cache"):
        _of_thread.cache = functools.lru_cache(maxsize=1)(lambda name, buckets: function_named(name)())
    cache: npt.NDArray[np.uint64] = _of_thread.cache(hashed.cache, buckets)
    return cache
