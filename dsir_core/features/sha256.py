"""The reference's hash, SHA-256 of the space-joined n-gram, compiled and behind a cache.

On real text nine n-grams in ten are among a million recent ones, so only one in ten needs a digest. A cache entry is
found by 20 bits of the n-gram's folded hash, and believed only if 40 further bits of it and a 64-bit check agree. The
check is made from all bytes and lengths of the tokens and not from their hashes, so an n-gram would have to agree with
the entry's in 104 bits of two hashes to get its bucket: about once in 10^31 look-ups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dsir_core.kernels.machine import load32, load64, load_byte, store_byte, swap_bytes

CACHE_BITS = 20
_BUCKET_BITS = 24
_BUCKET_MASK = np.uint64((1 << _BUCKET_BITS) - 1)
_CHECK_FOLD = np.uint64(0xC2B2AE3D27D4EB4F)
_SPACE = ord(" ")
MESSAGE_BYTES = 1024
_HALF = np.uint64(32)


def _roots(degree: int, count: int) -> list[int]:
    """First 32 bits of the fractional parts of the roots of the first primes (FIPS 180-4)."""
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    return [int(prime ** (1 / degree) % 1 * 2**32) for prime in primes]


_K = np.array(_roots(3, 64), np.uint32)
_START = np.array(_roots(2, 8), np.uint32)


def new_cache() -> npt.NDArray[np.uint64]:
    """An empty cache for one number of buckets: uint64[2^20, 2] of (40 bits of the hash and the bucket, check)."""
    return np.zeros((1 << CACHE_BITS, 2), np.uint64)


@njit(nogil=True)
def _rotate(x, bits):
    return np.uint32((x >> np.uint32(bits)) | np.uint32(x << np.uint32(32 - bits)))


@njit(nogil=True)
def _compress(state, address, words):
    for i in range(16):
        # load32 is little-endian, SHA-256 is not.
        words[i] = np.uint32(swap_bytes(load32(address + 4 * i)) >> _HALF)
    for i in range(16, 64):
        a, b = words[i - 15], words[i - 2]
        s0 = _rotate(a, 7) ^ _rotate(a, 18) ^ (a >> np.uint32(3))
        s1 = _rotate(b, 17) ^ _rotate(b, 19) ^ (b >> np.uint32(10))
        words[i] = np.uint32(words[i - 16] + s0 + words[i - 7] + s1)
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for i in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        choice = (e & f) ^ (~e & g)
        t1 = np.uint32(h + s1 + choice + _K[i] + words[i])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e = g, f, e, np.uint32(d + t1)
        d, c, b, a = c, b, a, np.uint32(t1 + t2)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@njit(nogil=True)
def digest_modulo(message, length, buckets, state, words):
    """SHA-256 of `message[:length]` as a big-endian integer, modulo `buckets`.

    Args:
        message: uint8[at least length + 72]; its end is overwritten by the padding.
        state: uint32[8] and words: uint32[64], working space.
    """
    for i in range(8):
        state[i] = _START[i]
    blocks = (length + 9 + 63) // 64
    message[length] = 0x80
    message[length + 1 : 64 * blocks] = 0
    bits = length * 8
    for i in range(8):
        message[64 * blocks - 1 - i] = (bits >> (8 * i)) & 0xFF
    address = message.ctypes.data
    for i in range(blocks):
        _compress(state, address + 64 * i, words)
    rest = np.uint64(0)
    for i in range(8):
        rest = ((rest << _HALF) | np.uint64(state[i])) % np.uint64(buckets)
    return rest


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
def cached_buckets(cache, keys, checks, first, n, order, tokens, tail, found, buckets, work):
    """Buckets of the n-grams of one order that end at tokens first..n-1, from the cache or by digest.

    Args:
        cache: see `new_cache`.
        keys, checks: uint64[tokens], folded hashes and checks of the n-grams.
        tokens: (starts, ends), int64 addresses of this stretch's tokens.
        tail: (starts, ends) of the last tokens before them, the latest at the end.
        found: uint64[tokens], filled.
        work: (state uint32[8], words uint32[64], message uint8[MESSAGE_BYTES]) for the digest.
    """
    for i in range(first, n):
        slot = np.int64(keys[i] >> np.uint64(64 - CACHE_BITS))
        high = keys[i] << np.uint64(_BUCKET_BITS)
        entry = cache[slot, 0]
        if (entry & ~_BUCKET_MASK) == high and cache[slot, 1] == checks[i]:
            found[i] = entry & _BUCKET_MASK
            continue
        bucket = _digest_ngram(i, order, tokens, tail, buckets, work)
        cache[slot, 0] = high | bucket
        cache[slot, 1] = checks[i]
        found[i] = bucket


@njit(nogil=True)
def _digest_ngram(i, order, tokens, tail, buckets, work):
    starts, ends = tokens
    length = order - 1
    for j in range(i - order + 1, i + 1):
        length += ends[j] - starts[j] if j >= 0 else tail[1][len(tail[1]) + j] - tail[0][len(tail[0]) + j]
    message = work[2] if length + 72 <= len(work[2]) else np.empty(length + 72, np.uint8)
    out = message.ctypes.data
    for j in range(i - order + 1, i + 1):
        start = starts[j] if j >= 0 else tail[0][len(tail[0]) + j]
        stop = ends[j] if j >= 0 else tail[1][len(tail[1]) + j]
        for source in range(start, stop):
            store_byte(out, load_byte(source))
            out += 1
        store_byte(out, _SPACE)
        out += 1
    return digest_modulo(message, length, buckets, work[0], work[1])
