"""Batches of documents to n-gram counts or log weights: compiled, without a count vector per document.

A document's log weight is one sum for each n-gram order, over the document from its beginning, and then the sum of
those sums by order: a fixed order of additions, so that the same bits come out of every batch and path.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.config.hashes import SHA256
from dsir_core.features.reference import FOLD
from dsir_core.features.sha256 import digest_missing, fold_checks, look_up, modulus, new_work, resolve, token_checks
from dsir_core.features.tokenize import SCRATCH_FACTOR, scan
from dsir_core.features.unicode_table import SPACE
from dsir_core.features.xxh3 import xxh3_of_tokens
from dsir_core.kernels.compiled import compiled
from dsir_core.kernels.machine import address_of

TOKENS_AT_ONCE = 4096
"""Tokens between tokenizing and hashing: few enough for the processor's cache, whatever a document's size."""

_FOLD = np.uint64(FOLD)
_HALF = np.uint64(32)
_SHA256 = SHA256.selector


@njit(nogil=True)
def _fold_buckets(hashes, n, order, before, folded, found, buckets):
    """Buckets of the n-grams of one order that end at each of n tokens; the index of the first that there is.

    `folded[i]` is the folded hash of the order below that ends at token i, and becomes that of this order;
    `before[order]` is the hash of the order below that ends at the token before the first.
    """
    last = before[order]
    before[order] = folded[n - 1]
    for i in range(n):
        previous = last
        last = folded[i]
        folded[i] = previous * _FOLD + hashes[i]
        found[i] = ((folded[i] >> _HALF) * buckets) >> _HALF


@njit(nogil=True)
def _unigram_buckets(hashes, n, folded, found, buckets):
    for i in range(n):
        folded[i] = hashes[i]
        found[i] = ((hashes[i] >> _HALF) * buckets) >> _HALF


@njit(nogil=True)
def _add_log_ratios(found, done, n, log_ratio, by_order):
    """Add the log ratios of n-grams that end at n tokens to sums by order and target, in the order of the text."""
    orders, targets = by_order.shape
    if orders == 2 and targets == 1:
        _add_of_pairs(found, done, n, log_ratio, by_order)
        return
    for order in range(orders):
        first = max(0, order - done)
        if targets == 1:
            total = by_order[order, 0]
            for i in range(first, n):
                total += log_ratio[found[order, i], 0]
            by_order[order, 0] = total
            continue
        for i in range(first, n):
            for target in range(targets):
                by_order[order, target] += log_ratio[found[order, i], target]


@njit(nogil=True)
def _add_of_pairs(found, done, n, log_ratio, by_order):
    # An addition waits for the one before: two sums, of unigrams and of bigrams, take the time of one.
    ones, twos = by_order[0, 0], by_order[1, 0]
    first = max(0, 1 - done)
    for i in range(min(first, n)):
        ones += log_ratio[found[0, i], 0]
    for i in range(np.uint64(first), np.uint64(n)):
        ones += log_ratio[found[0, i], 0]
        twos += log_ratio[found[1, i], 0]
    by_order[0, 0], by_order[1, 0] = ones, twos


@njit(nogil=True)
def _add_counts(found, first, n, counts):
    for i in range(np.uint64(first), np.uint64(n)):
        counts[found[i]] += 1


@njit(nogil=True)
def _keep(found, first, n, kept, n_kept):
    """Append buckets to those kept of their order; their new number."""
    for i in range(first, n):
        kept[n_kept + i - first] = found[i]
    return n_kept + max(0, n - first)


@njit(nogil=True)
def _keep_tail(starts, ends, n, tail):
    """Remember where the last tokens stand, the latest at the end."""
    room = len(tail[0])
    for k in range(room):
        tail[0][k] = tail[0][k + n] if k + n < room else starts[k + n - room]
        tail[1][k] = tail[1][k + n] if k + n < room else ends[k + n - room]


@compiled("dsir_core.features")
def run_batch(data, offsets, ngrams, buckets, tables, selector, cache, log_ratio, sums, counts, n_tokens, kept, n_kept):
    """Count or score a batch.

    Args:
        data: uint8[...] UTF-8 bytes of all documents; offsets: int64[n + 1].
        ngrams: longest n-gram; buckets: their number.
        tables: (index, entries), the frozen Unicode table.
        selector: of the hash.
        cache: of buckets, for a hash that has one; else empty.
        log_ratio: float64[buckets, targets], with sums float64[n, targets] to be filled; or both empty.
        counts: int64[buckets] to be added to; or empty.
        n_tokens: int32[n] to be filled.
        kept: uint16[ngrams, >= tokens] to be filled, row by row, with the buckets counted; or empty.
        n_kept: int64[ngrams], zeros, to be filled with their number.
    """
    index, entries = tables
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    scratch = np.empty(SCRATCH_FACTOR * longest + 128, np.uint8)
    starts, ends = np.empty(TOKENS_AT_ONCE, np.int64), np.empty(TOKENS_AT_ONCE, np.int64)
    hashes, folded = np.empty(TOKENS_AT_ONCE, np.uint64), np.empty(TOKENS_AT_ONCE, np.uint64)
    longer = np.empty(TOKENS_AT_ONCE, np.int64)
    found = np.empty((ngrams, TOKENS_AT_ONCE), np.uint64)
    before = np.zeros(ngrams + 1, np.uint64)
    checks, folded_checks = np.empty(TOKENS_AT_ONCE, np.uint64), np.empty(TOKENS_AT_ONCE, np.uint64)
    before_checks = np.zeros(ngrams + 1, np.uint64)
    tail = np.zeros(ngrams, np.int64), np.zeros(ngrams, np.int64)
    targets = log_ratio.shape[1]
    by_order = np.zeros((ngrams, targets), np.float64)
    address = address_of(data)
    wide = np.uint64(buckets)
    exact = selector == _SHA256
    digests = ngrams * TOKENS_AT_ONCE if exact else 0
    missing, work = np.empty((digests + 1, 2), np.int32), new_work(digests)
    n_missing, modulo = np.zeros(ngrams + 1, np.int64), modulus(buckets)
    for document in range(len(offsets) - 1):
        begin, stop = address + offsets[document], address + offsets[document + 1]
        position, out = begin, address_of(scratch)
        n_open, kind, done = 0, SPACE, 0
        by_order[:] = 0.0
        while position < stop:
            position, out, n, n_open, kind = scan(
                position, stop, begin, address + len(data), out, starts, ends, n_open, kind, index, entries
            )
            if n == 0:
                continue
            xxh3_of_tokens(starts, ends, n, hashes, longer)
            if exact:
                token_checks(starts, ends, n, checks)
            for order in range(1, ngrams + 1):
                row = found[order - 1]
                if order == 1:
                    _unigram_buckets(hashes, n, folded, row, wide)
                else:
                    _fold_buckets(hashes, n, order, before, folded, row, wide)
                if exact:
                    if order == 1:
                        # No slice: Numba would compile its error messages, a second's work.
                        for i in range(n):
                            folded_checks[i] = checks[i]
                    else:
                        fold_checks(checks, n, order, before_checks, folded_checks)
                    first = max(0, order - 1 - done)
                    n_missing[order] = look_up(
                        cache, folded, folded_checks, first, n, row, missing, n_missing[order - 1]
                    )
            if n_missing[ngrams]:
                digest_missing(cache, missing, n_missing, (starts, ends), tail, modulo, work)
            for order in range(1, ngrams + 1):
                row, first = found[order - 1], max(0, order - 1 - done)
                if n_missing[ngrams]:
                    resolve(row, first, n, work[0])
                if not targets:
                    _add_counts(row, first, n, counts)
                    if kept.shape[1]:
                        n_kept[order - 1] = _keep(row, first, n, kept[order - 1], n_kept[order - 1])
            if targets:
                _add_log_ratios(found, done, n, log_ratio, by_order)
            done += n
            _keep_tail(starts, ends, n, tail)
            starts[0] = starts[n]
        n_tokens[document] = done
        for target in range(targets):
            total = 0.0
            for order in range(ngrams):
                total += by_order[order, target]
            sums[document, target] = total


@compiled("dsir_core.features")
def score_kept(kept, starts, n_tokens, log_ratio, sums):
    """Log weights from kept buckets: the additions of `run_batch`, in its order.

    Args:
        kept: uint16[...] buckets, by order and then by document.
        starts: int64[ngrams], where each order begins; n_tokens: int32[n].
        log_ratio: float64[buckets, targets]; sums: float64[n, targets] to be filled.
    """
    at = starts.copy()
    for document in range(len(n_tokens)):
        for target in range(log_ratio.shape[1]):
            total = 0.0
            for order in range(len(starts)):
                by_order = 0.0
                for i in range(at[order], at[order] + max(0, n_tokens[document] - order)):
                    by_order += log_ratio[kept[i], target]
                total += by_order
            sums[document, target] = total
        for order in range(len(starts)):
            at[order] += max(0, n_tokens[document] - order)


@compiled("dsir_core.features")
def take_counts(counts, buckets, values, end):
    """Move the counts of one document, int64[buckets], to the end of sparse ones, and leave zeros; the new end."""
    for bucket in range(len(counts)):
        # Without a branch that depends on the text; `end` moves on only past a bucket that was counted.
        buckets[end] = bucket
        values[end] = counts[bucket]
        end += counts[bucket] != 0
        counts[bucket] = 0
    return end
