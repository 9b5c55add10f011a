"""UTF-8, compiled."""

from __future__ import annotations

from numba import njit

from dsir_core.kernels.machine import store_byte


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
