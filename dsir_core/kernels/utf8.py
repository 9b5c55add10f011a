"""UTF-8, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.kernels.compiled import compiled
from dsir_core.kernels.machine import address_of, load_byte, store_byte, trailing_zeros, utf8_block

_BLOCK = 64
_ALL = np.uint64(2**64 - 1)
_LAST = 61
"""From here on a character's first byte may have continuations behind its block."""


@njit(nogil=True)
def encode(code, out):
    """Write a code point's UTF-8; the address behind it."""
    if code < 0x80:
        store_byte(out, code)
        return out + 1
    if code < 0x800:
        store_byte(out, 0xC0 | code >> 6)
        store_byte(out + 1, 0x80 | code & 0x3F)
        return out + 2
    if code < 0x10000:
        store_byte(out, 0xE0 | code >> 12)
        store_byte(out + 1, 0x80 | code >> 6 & 0x3F)
        store_byte(out + 2, 0x80 | code & 0x3F)
        return out + 3
    store_byte(out, 0xF0 | code >> 18)
    store_byte(out + 1, 0x80 | code >> 12 & 0x3F)
    store_byte(out + 2, 0x80 | code >> 6 & 0x3F)
    store_byte(out + 3, 0x80 | code & 0x3F)
    return out + 4


@compiled()
def is_utf8(data):
    """Whether bytes, uint8[...], are valid UTF-8."""
    p, stop = address_of(data), address_of(data) + len(data)
    padded = np.zeros(_BLOCK, np.uint8)
    while p < stop:
        n = min(_BLOCK, stop - p)
        if n < _BLOCK:
            # Zeros behind the end are no continuations.
            for i in range(n):
                padded[i] = load_byte(p + i)
            p = stop
        high, continuation, first, three, four, wrong = utf8_block(p if n == _BLOCK else address_of(padded))
        checked = _ALL
        if n == _BLOCK:
            late = first >> np.uint64(_LAST)
            end = _LAST + trailing_zeros(late) if late else _BLOCK
            # The next block begins with what may not be whole here; that byte itself must be due.
            checked = _ALL >> np.uint64(_BLOCK - 1 - end) if late else _ALL
            p += end
        if high:
            due = first << np.uint64(1) | three << np.uint64(2) | four << np.uint64(3)
            if ((due ^ continuation) | wrong) & checked:
                return False
    return True
