"""The reference's hash, SHA-256 of the space-joined n-gram, compiled: 16 digests at a time, behind a cache.

Many n-grams of a text are among its recent ones, and need no digest. The cache has 2^15 slots, 512 KiB, and stays in
the processor's. A slot is found by the upper 15 bits of the n-gram's folded hash, and its entry is believed only if the
lower 39 bits of that hash and a 64-bit check agree. The check is made from all bytes and lengths of the tokens and not
from their hashes, so another n-gram would have to agree with the slot's in 103 bits to get its bucket. If they are
as good as random, that happens once in 2^103, or 10^31, look-ups.

Digests are computed when a stretch of tokens has been looked up. Until then an entry holds the number of its digest
in the stretch, so that an n-gram which comes again needs no second one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dsir_core.kernels.machine import (
    address_of,
    clear64,
    copy32,
    load64,
    multiply_high,
    store64,
    store_byte,
    swap_bytes,
)
from dsir_core.kernels.sha256_lanes import BLOCK, LANES, START, compress_lanes

CACHE_BITS = 15
_BUCKET_BITS = 25
_BUCKET_MASK = np.uint64((1 << _BUCKET_BITS) - 1)
_PENDING = np.uint64(1 << (_BUCKET_BITS - 1))
"""Of a digest that has not been computed: its number in place of the bucket, with this bit set."""
_CHECK_FOLD = np.uint64(0xC2B2AE3D27D4EB4F)
_SPACE = ord(" ")
_HALF = np.uint64(32)
_START = np.array(START, np.uint32)
_SHORT = BLOCK - 9
"""Bytes of a message that fits into a block with its padding."""
_SLACK = 2 * BLOCK
"""Bytes behind a message that may be overwritten."""
_STRIDE = BLOCK + _SLACK
"""From one short message to the next."""
_BLOCKS_ALONE = 16
"""Messages of so many blocks, or more, are hashed one at a time: 16 of them could fill the memory."""


def new_cache() -> npt.NDArray[np.uint64]:
    """An empty cache for one number of buckets: uint64[2^15 + 1, 2] of (39 bits of the hash and the bucket, check).

    The last entry is written in place of those that need no change.
    """
    return np.zeros(((1 << CACHE_BITS) + 1, 2), np.uint64)


@njit(nogil=True)
def token_checks(starts, ends, n, checks):
    """A 64-bit check of each token from its bytes, eight at a time, and its length."""
    for i in range(n):
        length = ends[i] - starts[i]
        if length >= 8:
            first, last = load64(starts[i]), load64(ends[i] - 8)
            for inner in range(starts[i] + 8, ends[i] - 8, 8):
                first = (first ^ (first >> _HALF)) * _CHECK_FOLD + load64(inner)
        else:
            # Behind a token there is always scratch memory; what is not the token's is shifted out.
            first = load64(starts[i]) << np.uint64(64 - 8 * length)
            last = np.uint64(0)
        checks[i] = (first * _CHECK_FOLD + last) * _CHECK_FOLD + np.uint64(length)


@njit(nogil=True)
def fold_checks(checks, n, order, before, folded):
    """Checks of the n-grams of one order from those of the order below, in place; as `kernels` folds hashes."""
    last = before[order]
    before[order] = folded[n - 1]
    for i in range(n):
        previous = last
        last = folded[i]
        folded[i] = (previous ^ (previous >> _HALF)) * _CHECK_FOLD + checks[i]


@njit(nogil=True)
def look_up(cache, keys, checks, first, n, found, missing, n_missing):
    """Buckets of the n-grams of one order that end at tokens first..n-1, as far as the cache has them.

    Args:
        cache: see `new_cache`.
        keys, checks: uint64[tokens], folded hashes and checks of the n-grams.
        found: uint64[tokens], filled; with `_PENDING` and the number of a digest where the cache had nothing.
        missing: int32[digests + 1, 2], (entry, token) of each digest that is needed; appended to.

    Returns:
        How many digests are needed.
    """
    # Indices are unsigned, since Numba asks of each signed one whether it counts from the end.
    nowhere, end = np.uint64(1 << CACHE_BITS), np.uint64(n_missing)
    for i in range(np.uint64(first), np.uint64(n)):
        slot = keys[i] >> np.uint64(64 - CACHE_BITS)
        high = keys[i] << np.uint64(_BUCKET_BITS)
        entry = cache[slot, 0]
        known = ((entry ^ high) <= _BUCKET_MASK) & (cache[slot, 1] == checks[i])
        # No branch: whether the cache has an n-gram cannot be guessed.
        new = high | _PENDING | end
        to = nowhere if known else slot
        cache[to, 0] = new
        cache[to, 1] = checks[i]
        found[i] = (entry if known else new) & _BUCKET_MASK
        missing[end, 0], missing[end, 1] = slot, i
        end += np.uint64(not known)
    return np.int64(end)


@njit(nogil=True)
def digest_missing(cache, missing, n_missing, tokens, tail, buckets, work):
    """Buckets of n-grams by digest, into `work` and into the entries that still wait for them.

    Args:
        missing: see `look_up`.
        n_missing: int64[ngrams + 1]: the digests of each order end there; 0 in front.
        tokens: (starts, ends), int64 addresses of this stretch's tokens.
        tail: (starts, ends) of the last tokens before them, the latest at the end.
        work: see `new_work`.
    """
    digests, lanes, long, messages, _, _ = work
    n_lanes, n_long = 0, 0
    for order in range(1, len(n_missing)):
        for k in range(n_missing[order - 1], n_missing[order]):
            length = _ngram_bytes(missing[k, 1], order, tokens, tail)
            if length > _SHORT:
                long[n_long, 0], long[n_long, 1], long[n_long, 2] = k, order, length
                n_long += 1
                continue
            message = address_of(messages) + n_lanes * _STRIDE
            _write_ngram(missing[k, 1], order, tokens, tail, message)
            pad(message, length)
            lanes[n_lanes] = k
            n_lanes += 1
            if n_lanes == LANES:
                _digest_lanes(address_of(messages), _STRIDE, lanes, n_lanes, buckets, work)
                n_lanes = 0
    if n_lanes:
        _digest_lanes(address_of(messages), _STRIDE, lanes, n_lanes, buckets, work)
    if n_long:
        _digest_long(long, n_long, missing, tokens, tail, buckets, work)
    for k in range(n_missing[-1]):
        slot = missing[k, 0]
        # Another n-gram may have taken the entry since.
        waits = (cache[slot, 0] & _BUCKET_MASK) == (_PENDING | np.uint64(k))
        cache[slot, 0] = (cache[slot, 0] & ~_BUCKET_MASK) | digests[k] if waits else cache[slot, 0]


@njit(nogil=True)
def resolve(found, first, n, digests):
    """Put buckets in place of the numbers of digests."""
    for i in range(np.uint64(first), np.uint64(n)):
        pending = found[i] >= _PENDING
        number = found[i] & (_PENDING - np.uint64(1)) if pending else np.uint64(0)
        found[i] = digests[number] if pending else found[i]


@njit(nogil=True)
def new_work(digests):
    """Working space for so many digests of a stretch.

    Returns:
        (buckets uint64[digests + 1], those of a group of lanes int64[LANES], long ones int64[digests, 3], messages
        uint8[...], (states uint32[8, LANES], their sums uint64[LANES]), blocks of each lane int64[LANES]).
    """
    return (
        np.zeros(digests + 1, np.uint64),
        np.zeros(LANES, np.int64),
        np.empty((digests, 3), np.int64),
        np.zeros(LANES * _STRIDE, np.uint8),
        (np.empty((8, LANES), np.uint32), np.empty(LANES, np.uint64)),
        np.zeros(LANES, np.int64),
    )


@njit(nogil=True, forceinline=True)
def _ngram_bytes(i, order, tokens, tail):
    starts, ends = tokens
    length = order - 1
    for j in range(i - order + 1, i + 1):
        length += ends[j] - starts[j] if j >= 0 else tail[1][len(tail[1]) + j] - tail[0][len(tail[0]) + j]
    return length


@njit(nogil=True)
def _write_ngram(i, order, tokens, tail, out):
    """Write the tokens of an n-gram with a space between two; up to 32 bytes behind it are overwritten."""
    starts, ends = tokens
    for j in range(i - order + 1, i + 1):
        start = starts[j] if j >= 0 else tail[0][len(tail[0]) + j]
        stop = ends[j] if j >= 0 else tail[1][len(tail[1]) + j]
        for at in range(0, stop - start, 32):
            copy32(start + at, out + at)
        out += stop - start
        store_byte(out, _SPACE)
        out += 1


@njit(nogil=True)
def pad(message, length):
    """Write SHA-256's padding behind a message; `_SLACK` bytes from there on are overwritten. Its number of blocks."""
    n_blocks = (length + 8) // BLOCK + 1
    store_byte(message + length, 0x80)
    clear64(message + length + 1)
    clear64(message + length + 1 + BLOCK - 1)
    store64(message + n_blocks * BLOCK - 8, swap_bytes(np.uint64(8 * length)))
    return n_blocks


@njit(nogil=True)
def _digest_long(long, n_long, missing, tokens, tail, buckets, work):
    """Digests of messages of several blocks: short ones side by side with those of about as many blocks."""
    lanes, blocks = work[1], work[5]
    n_of = np.zeros(_BLOCKS_ALONE + 2, np.int64)
    order = np.empty(n_long, np.int64)
    for i in range(n_long):
        n_of[min((long[i, 2] + 8) // BLOCK, _BLOCKS_ALONE) + 1] += 1
    for i in range(1, len(n_of)):
        n_of[i] += n_of[i - 1]
    for i in range(n_long):
        apart = min((long[i, 2] + 8) // BLOCK, _BLOCKS_ALONE)
        order[n_of[apart]] = i
        n_of[apart] += 1
    n_together = n_of[_BLOCKS_ALONE - 1]
    begin = 0
    while begin < n_long:
        n = min(LANES, n_together - begin) if begin < n_together else 1
        longest = 0
        for lane in range(n):
            longest = max(longest, long[order[begin + lane], 2])
        room = longest + 8 + BLOCK + _SLACK
        # A message that is alone is read by all lanes.
        stride = room if n > 1 else 0
        messages = np.empty(room + stride * (LANES - 1), np.uint8)
        # No lane may keep a number of blocks from the group before: it would be read behind these messages.
        blocks[:] = 0
        for lane in range(n):
            k, size, length = long[order[begin + lane]]
            message = address_of(messages) + lane * stride
            _write_ngram(missing[k, 1], size, tokens, tail, message)
            blocks[lane] = pad(message, length)
            lanes[lane] = k
        _digest_lanes(address_of(messages), stride, lanes, n, buckets, work)
        begin += n
    blocks[:] = 0


@njit(nogil=True)
def _digest_lanes(messages, stride, lanes, n, buckets, work):
    """Digests of up to 16 padded messages, as big-endian integers modulo the number of buckets.

    Args:
        messages: address of the first; stride: bytes from one to the next.
        lanes: int64[LANES], the number of the digest of each of n lanes.
        buckets: see `modulus`.
    """
    digests, _, _, _, (state, totals), blocks = work
    number, reciprocal, powers = buckets
    for i in range(8):
        for lane in range(LANES):
            state[i, lane] = _START[i]
    most = 1
    for lane in range(LANES):
        most = max(most, blocks[lane])
    # One call alone: its thousand vector operations are compiled wherever it stands.
    for block in range(most):
        compress_lanes(address_of(state), messages + block * BLOCK, stride, block, address_of(blocks))
    # No overflow: buckets are at most 2^20.
    for lane in range(LANES):
        totals[lane] = np.uint64(state[7, lane])
    for word in range(7):
        for lane in range(LANES):
            totals[lane] += np.uint64(state[word, lane]) * powers[word]
    for lane in range(n):
        rest = totals[lane] - multiply_high(totals[lane], reciprocal) * number
        digests[lanes[lane]] = rest - number if rest >= number else rest


@njit(nogil=True)
def modulus(buckets):
    """What `_digest_lanes` wants to know of the number of buckets."""
    number = np.uint64(buckets)
    powers = np.empty(8, np.uint64)
    powers[7] = np.uint64(1)
    for word in range(6, -1, -1):
        powers[word] = (powers[word + 1] << _HALF) % number
    return number, np.uint64(2**64 - 1) // number, powers
