"""XXH3-64 with seed 0 and the default secret (the xxHash specification), compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.kernels.machine import load64, multiply_fold, swap_bytes

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def _word(offset: int) -> np.uint64:
    return np.uint64(int.from_bytes(SECRET[offset : offset + 8], "little"))


# Secrets at every offset that the algorithm reads, so that compiled code needs no array of bytes.
_AT = np.array([_word(offset) for offset in range(185)], np.uint64)

_FLIP_SHORT = np.uint64(int(_word(0)) & 0xFFFFFFFF ^ int(_word(4)) & 0xFFFFFFFF)
_FLIP_MIDDLE = _word(8) ^ _word(16)
_FLIP_LOW = _word(24) ^ _word(32)
_FLIP_HIGH = _word(40) ^ _word(48)

_PRIME32_1 = np.uint64(0x9E3779B1)
_PRIME32_2 = np.uint64(0x85EBCA77)
_PRIME32_3 = np.uint64(0xC2B2AE3D)
_PRIME64_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME64_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME64_3 = np.uint64(0x165667B19E3779F9)
_PRIME64_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME64_5 = np.uint64(0x27D4EB2F165667C5)
_MIX_MIDDLE = np.uint64(0x9FB21C651E98DF25)
_MIX_LONG = np.uint64(0x165667919E3779F9)
_LOW32 = np.uint64(0xFFFFFFFF)
_BYTE = np.uint64(0xFF)

_START = np.array(
    [_PRIME32_3, _PRIME64_1, _PRIME64_2, _PRIME64_3, _PRIME64_4, _PRIME32_2, _PRIME64_5, _PRIME32_1],
    np.uint64,
)

_STRIPE, _STRIPES_PER_BLOCK = 64, 16


@njit(nogil=True)
def _rotate(value, bits):
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@njit(nogil=True)
def _avalanche(h):
    h ^= h >> np.uint64(37)
    h *= _MIX_LONG
    return h ^ (h >> np.uint64(32))


@njit(nogil=True)
def xxh3(address, length):
    """XXH3-64 of the bytes at an address.

    Args:
        address: int64; eight bytes behind it must be readable, whatever the length.
        length: int64, at least 1.

    Returns:
        uint64.
    """
    if length <= 8:
        return _up_to_8(load64(address), length)
    return _above_8(address, length)


@njit(nogil=True)
def xxh3_of_tokens(starts, ends, n, hashes, longer):
    """XXH3-64 of n tokens; see `xxh3`.

    Most tokens have up to 8 bytes, in no order that a processor could guess. All are hashed as if they had, without a
    branch and several in a vector; then those that have more.

    Args:
        starts, ends: int64[>= n], addresses.
        hashes: uint64[>= n], filled; longer: int64[>= n], working space.
    """
    n_longer = 0
    for i in range(n):
        hashes[i] = load64(starts[i])
        longer[n_longer] = i
        n_longer += np.int64(ends[i] - starts[i] > 8)
    for i in range(n):
        hashes[i] = _up_to_8(hashes[i], min(ends[i] - starts[i], 8))
    for k in range(n_longer):
        i = longer[k]
        hashes[i] = _above_8(starts[i], ends[i] - starts[i])


@njit(nogil=True)
def _above_8(address, length):
    if length <= 16:
        return _up_to_16(address, length)
    return _above_16(address, length)


@njit(nogil=True)
def _above_16(address, length):
    if length <= 128:
        return _up_to_128(address, length)
    if length <= 240:
        return _up_to_240(address, length)
    return _long(address, length)


@njit(nogil=True)
def _up_to_8(word, length):
    # Two formulas, for up to 3 bytes and for 4 to 8: both are computed and one is taken, which costs less than a wrong
    # guess every other token.
    middle = (word >> np.uint64((length >> 1) << 3)) & _BYTE
    last = (word >> np.uint64((length - 1) << 3)) & _BYTE
    few = ((word & _BYTE) << np.uint64(16)) | (middle << np.uint64(24)) | last | np.uint64(length << 8)
    few ^= _FLIP_SHORT
    few ^= few >> np.uint64(33)
    few *= _PRIME64_2
    few ^= few >> np.uint64(29)
    few *= _PRIME64_3
    few ^= few >> np.uint64(32)

    end = (word >> np.uint64(max(length - 4, 0) << 3)) & _LOW32
    many = (end + (word << np.uint64(32))) ^ _FLIP_MIDDLE
    many ^= _rotate(many, 49) ^ _rotate(many, 24)
    many *= _MIX_MIDDLE
    many ^= (many >> np.uint64(35)) + np.uint64(length)
    many *= _MIX_MIDDLE
    many ^= many >> np.uint64(28)
    return few if length < 4 else many


@njit(nogil=True)
def _up_to_16(address, length):
    low = load64(address) ^ _FLIP_LOW
    high = load64(address + length - 8) ^ _FLIP_HIGH
    return _avalanche(np.uint64(length) + swap_bytes(low) + high + multiply_fold(low, high))


@njit(nogil=True)
def _mix16(address, secret):
    return multiply_fold(load64(address) ^ _AT[secret], load64(address + 8) ^ _AT[secret + 8])


@njit(nogil=True)
def _up_to_128(address, length):
    h = np.uint64(length) * _PRIME64_1
    for i in range((length - 1) // 32 + 1):
        h += _mix16(address + 16 * i, 32 * i)
        h += _mix16(address + length - 16 * (i + 1), 32 * i + 16)
    return _avalanche(h)


@njit(nogil=True)
def _up_to_240(address, length):
    h = np.uint64(length) * _PRIME64_1
    for i in range(8):
        h += _mix16(address + 16 * i, 16 * i)
    h = _avalanche(h)
    for i in range(8, length // 16):
        h += _mix16(address + 16 * i, 16 * (i - 8) + 3)
    return _avalanche(h + _mix16(address + length - 16, 136 - 17))


@njit(nogil=True)
def _accumulate(sums, address, secret):
    for i in range(8):
        value = load64(address + 8 * i)
        keyed = value ^ _AT[secret + 8 * i]
        sums[i ^ 1] += value
        sums[i] += (keyed & _LOW32) * (keyed >> np.uint64(32))


@njit(nogil=True)
def _long(address, length):
    sums = _START.copy()
    block = _STRIPE * _STRIPES_PER_BLOCK
    blocks = (length - 1) // block
    for n in range(blocks):
        for i in range(_STRIPES_PER_BLOCK):
            _accumulate(sums, address + n * block + i * _STRIPE, 8 * i)
        for i in range(8):
            sums[i] = (sums[i] ^ (sums[i] >> np.uint64(47)) ^ _AT[128 + 8 * i]) * _PRIME32_1
    for i in range((length - 1 - block * blocks) // _STRIPE):
        _accumulate(sums, address + blocks * block + i * _STRIPE, 8 * i)
    _accumulate(sums, address + length - _STRIPE, 192 - 64 - 7)
    h = np.uint64(length) * _PRIME64_1
    for i in range(4):
        h += multiply_fold(sums[2 * i] ^ _AT[11 + 16 * i], sums[2 * i + 1] ^ _AT[19 + 16 * i])
    return _avalanche(h)
