"""The n-grams that a selection has gained and lost: buckets by their change, and what n-grams stand behind them.

A bucket is a number; which n-grams fall into it is found out from samples of documents. Most buckets are shared by
several n-grams (hash collisions): the most frequent one names the bucket, and the others are said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.features import can_keep, count_and_keep, score_ngrams
from dsir_core.features.unicode_table import SINGLE, SPACE, classes
from dsir_core.model.metrics import EPSILON
from dsir_core.shards.excerpts import Excerpt

N_MOVED = 12
SAMPLE_PIECES = 8
SAMPLE_BYTES = 2**18
N_SHARING = 3
"""N-grams of a bucket that are named."""

NAME_CHARACTERS = 60
WORDPUNCT = re.compile(r"\w+|[^\w\s]+")

Ngram: TypeAlias = tuple[str, ...]


def moved_buckets(
    p_raw: npt.NDArray[np.float64], p_selected: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], list[int], list[int]]:
    """Which buckets have changed most from raw to the selection.

    Args:
        p_raw, p_selected: float64[buckets], distributions.

    Returns:
        float64[buckets] change in nats, `p_selected ln(p_selected / p_raw)` of those that gained (what they add to
        the divergence of the selection from raw) and `p_raw ln(p_selected / p_raw)` of those that lost; buckets that
        gained most; buckets that lost most.
    """
    log_change = np.log(p_selected + EPSILON) - np.log(p_raw + EPSILON)
    change = np.where(log_change > 0, p_selected, p_raw) * log_change
    order = np.argsort(change, kind="stable")
    gained = [int(b) for b in order[::-1][:N_MOVED] if change[b] > 0]
    lost = [int(b) for b in order[:N_MOVED] if change[b] < 0]
    return change, gained, lost


@dataclass(frozen=True)
class NamesTask:
    """A sample of documents in which to look for the n-grams of some buckets."""

    sample: Excerpt
    features: FeatureSettings
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class BucketNames:
    """The n-grams of one bucket in a sample."""

    occurrences: int
    distinct: int
    first: tuple[tuple[str, int], ...]
    """The most frequent ones with their occurrences."""


NOTHING = BucketNames(0, 0, ())


def name_buckets(task: NamesTask) -> dict[int, BucketNames]:
    """What n-grams of a sample fall into each of the task's buckets.

    Raises:
        DamagedFileError: a file cannot be read.
    """
    counts: Counter[Ngram] = Counter()
    limit = task.sample.n_bytes // max(1, len(task.sample.ranges))
    for batch, n in task.sample.batches():
        # A single document may be larger than the sample.
        texts = [
            bytes(batch.text_data[start : min(stop, start + limit)]).decode(errors="ignore")
            for start, stop in pairwise(batch.text_offsets[: n + 1].tolist())
        ]
        counts.update(
            ngrams_in([tokens_of(text, task.features.tokenizer) for text in texts], task.features, task.buckets)
        )
    return _by_bucket(counts, task)


def ngrams_in(documents: Sequence[Sequence[str]], features: FeatureSettings, buckets: Sequence[int]) -> Iterator[Ngram]:
    """The n-grams of documents that fall into some buckets, as often as they occur.

    Others may be among them: where a bucket does not fit into what the kernel keeps, or the kernel reads other tokens.
    """
    if not can_keep(features):
        for tokens in documents:
            yield from ngrams_of(tokens, features.ngrams)
        return
    data, offsets = _joined(documents)
    kept = count_and_keep(data, offsets, features, np.zeros(features.buckets, np.int64))
    is_wanted = np.zeros(features.buckets, bool)
    is_wanted[list(buckets)] = True
    for order, buckets_of_order in enumerate(kept.by_order(), 1):
        ends = np.cumsum(np.maximum(kept.n_tokens - order + 1, 0))
        found = np.flatnonzero(is_wanted[buckets_of_order])
        owners = np.searchsorted(ends, found, side="right")
        for owner, back in zip(owners.tolist(), (ends[owners] - found).tolist(), strict=True):
            tokens = documents[owner]
            first = len(tokens) - order + 1 - back
            if len(tokens) == kept.n_tokens[owner]:
                yield tuple(tokens[first : first + order])
    for tokens, n_tokens in zip(documents, kept.n_tokens, strict=True):
        if len(tokens) != n_tokens:
            yield from ngrams_of(tokens, features.ngrams)


def _joined(documents: Sequence[Sequence[str]]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Documents as the kernels read them: UTF-8, and where each begins."""
    encoded = [" ".join(tokens).encode() for tokens in documents]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def buckets_in_order(tokens: Sequence[str], features: FeatureSettings) -> list[npt.NDArray[np.int64]]:
    """For each order, the buckets of a text's n-grams as they follow each other; -1 as in `buckets_of`.

    Returns:
        int64[max(0, tokens - order + 1)] for each order from 1.
    """
    if can_keep(features):
        kept = count_and_keep(*_joined([tokens]), features, np.zeros(features.buckets, np.int64))
        if kept.n_tokens[0] == len(tokens):
            return [buckets.astype(np.int64) for buckets in kept.by_order()]
    ends = np.cumsum([max(0, len(tokens) - order + 1) for order in range(1, features.ngrams)], dtype=np.int64)
    return np.split(buckets_of(list(ngrams_of(tokens, features.ngrams)), features), ends)


def _by_bucket(counts: Counter[Ngram], task: NamesTask) -> dict[int, BucketNames]:
    ngrams = list(counts)
    found = np.flatnonzero(np.isin(buckets := buckets_of(ngrams, task.features), task.buckets))
    sharing: dict[int, list[Ngram]] = {}
    for i in found:
        sharing.setdefault(int(buckets[i]), []).append(ngrams[i])
    named = {}
    for bucket, mine in sharing.items():
        mine.sort(key=lambda ngram: (-counts[ngram], ngram))
        first = tuple((" ".join(ngram)[:NAME_CHARACTERS], counts[ngram]) for ngram in mine[:N_SHARING])
        named[bucket] = BucketNames(sum(counts[ngram] for ngram in mine), len(mine), first)
    return named


def ngrams_of(tokens: Sequence[str], longest: int) -> Iterator[Ngram]:
    """All n-grams of orders 1 to `longest`."""
    for order in range(1, longest + 1):
        yield from zip(*(tokens[i:] for i in range(order)), strict=False)


def tokens_of(text: str, tokenizer: str) -> list[str]:
    """Tokens, fast: where Python lower-cases by another Unicode version, a rare n-gram is missed or miscounted."""
    lowered = text.lower()
    if lowered.isascii():
        return WORDPUNCT.findall(lowered)
    kinds = classes(lowered, tokenizer)
    first = np.flatnonzero((np.diff(kinds, prepend=SPACE) != 0) | (kinds == SINGLE))
    return [lowered[i:end] for i, end in pairwise([*first.tolist(), len(lowered)]) if kinds[i] != SPACE]


def buckets_of(ngrams: Sequence[Ngram], features: FeatureSettings) -> npt.NDArray[np.int64]:
    """The bucket of each n-gram, by the compiled kernel; -1 where its tokens are no tokens.

    With the bucket's number as its log ratio, a text's log weight is the sum of its n-grams' buckets: that of the
    longest n-gram follows from the sums of the text and of the text without its first token, its last token, and both.
    Sums of whole numbers below 2^53 are exact.

    Returns:
        int64[n].
    """
    texts: dict[Ngram, int] = {(): 0}
    for ngram in ngrams:
        for part in (ngram, ngram[1:], ngram[:-1], ngram[1:-1]):
            texts.setdefault(part, len(texts))
    data, offsets = _joined(list(texts))
    number = np.arange(features.buckets, dtype=np.float64)[None]
    sums, n_tokens = score_ngrams(data, offsets, features, number)
    lengths = np.array([len(tokens) for tokens in texts])
    total = np.where(n_tokens == lengths, sums[:, 0], np.nan)
    found = [
        total[texts[ngram]] - total[texts[ngram[1:]]] - total[texts[ngram[:-1]]] + total[texts[ngram[1:-1]]]
        if len(ngram) > 1
        else total[texts[ngram]]
        for ngram in ngrams
    ]
    return np.nan_to_num(np.array(found, np.float64), nan=-1).astype(np.int64)


def describe_moved(
    buckets: Sequence[int],
    change: npt.NDArray[np.float64],
    p_raw: npt.NDArray[np.float64],
    p_selected: npt.NDArray[np.float64],
    names: Mapping[int, BucketNames],
) -> list[dict[str, object]]:
    """What the report says of buckets that gained, or of those that lost."""
    described: list[dict[str, object]] = []
    for bucket in buckets:
        named = names.get(bucket, NOTHING)
        described.append(
            {
                "bucket": bucket,
                "nats": float(change[bucket]),
                "raw": float(p_raw[bucket]),
                "selected": float(p_selected[bucket]),
                "ngrams": [{"ngram": name, "share": n / named.occurrences} for name, n in named.first],
                "distinct": named.distinct,
            }
        )
    return described
