"""The grammar of JSON, compiled: from an address to the one behind a value, or -1 where there is none for certain.

Strict as `json.loads` is, and stricter: NaN, infinities and nesting beyond `MAX_DEPTH` are refused as well. Text must
be valid UTF-8.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.kernels.machine import copy_json_block, json_block, load32, load_byte, store_byte, trailing_zeros
from dsir_core.kernels.utf8 import encode

BLOCK = 64

MAX_DEPTH = 60
"""Of values inside others; one bit a level."""

_ONE = np.uint64(1)
_FAIL = -1
_TRUE, _ALSE, _NULL = (np.uint64(int.from_bytes(word, "little")) for word in (b"true", b"alse", b"null"))


@njit(nogil=True)
def skip_space(p, stop):
    """The address of the first byte that is no white space."""
    while p < stop:
        byte = load_byte(p)
        if byte != 32 and byte != 9 and byte != 13:
            break
        p += 1
    return p


@njit(nogil=True)
def _hex(p):
    """Value of four hexadecimal digits, or -1."""
    value = 0
    for i in range(4):
        byte = load_byte(p + i)
        digit = byte - 48
        if digit < 0 or digit > 9:
            digit = (byte | 32) - 97
            if digit < 0 or digit > 5:
                return _FAIL
            digit += 10
        value = value << 4 | digit
    return value


@njit(nogil=True)
def _plain_escape(byte):
    """The character of a backslash and one more, or -1."""
    if byte == 110:  # n
        return 10
    if byte == 34 or byte == 92 or byte == 47:  # " \ /
        return byte
    if byte == 116:  # t
        return 9
    if byte == 114:  # r
        return 13
    if byte == 98:  # b
        return 8
    if byte == 102:  # f
        return 12
    return _FAIL


@njit(nogil=True)
def skip_string(p, stop, readable):
    """From behind a string's opening quote to behind its closing one.

    Returns:
        (address, or -1 where the string is not one; whether it holds an escape).
    """
    escaped = False
    while True:
        if p + BLOCK <= readable:
            special = json_block(p)
            if special == 0:
                p += BLOCK
                if p >= stop:
                    return _FAIL, escaped
                continue
            p += trailing_zeros(special)
        else:
            while p < stop and load_byte(p) != 34 and load_byte(p) != 92 and load_byte(p) >= 32:
                p += 1
        if p >= stop:
            return _FAIL, escaped
        byte = load_byte(p)
        if byte == 34:
            return p + 1, escaped
        if byte != 92 or p + 2 > stop:
            return _FAIL, escaped
        escaped = True
        byte = load_byte(p + 1)
        if byte == 117:
            if p + 6 > stop or _hex(p + 2) < 0:
                return _FAIL, escaped
            p += 6
        elif _plain_escape(byte) >= 0:
            p += 2
        else:
            return _FAIL, escaped


@njit(nogil=True)
def copy_string(p, stop, readable, out):
    """As `_skip_string`, writing the string's UTF-8 at `out`; memory up to a block behind it is overwritten.

    Returns:
        (address or -1, address behind what was written).
    """
    while True:
        if p + BLOCK <= readable:
            special = copy_json_block(p, out)
            if special == 0:
                p += BLOCK
                out += BLOCK
                if p >= stop:
                    return _FAIL, out
                continue
            n = trailing_zeros(special)
            p += n
            out += n
        else:
            while p < stop and load_byte(p) != 34 and load_byte(p) != 92 and load_byte(p) >= 32:
                store_byte(out, load_byte(p))
                p += 1
                out += 1
        if p >= stop:
            return _FAIL, out
        byte = load_byte(p)
        if byte == 34:
            return p + 1, out
        if byte != 92 or p + 2 > stop:
            return _FAIL, out
        byte = load_byte(p + 1)
        if byte == 117:
            p, code = _unicode_escape(p, stop)
            if p < 0:
                return _FAIL, out
            out = encode(code, out)
            continue
        code = _plain_escape(byte)
        if code < 0:
            return _FAIL, out
        store_byte(out, code)
        out += 1
        p += 2


@njit(nogil=True)
def _unicode_escape(p, stop):
    r"""The code point of a `\uXXXX` or a pair of them: (address behind it or -1, code point)."""
    if p + 6 > stop:
        return _FAIL, 0
    code = _hex(p + 2)
    if code < 0 or 0xDC00 <= code < 0xE000:
        return _FAIL, 0
    if code < 0xD800 or code >= 0xE000:
        return p + 6, code
    if p + 12 > stop or load_byte(p + 6) != 92 or load_byte(p + 7) != 117:
        return _FAIL, 0
    low = _hex(p + 8)
    if low < 0xDC00 or low >= 0xE000:
        return _FAIL, 0
    return p + 12, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)


@njit(nogil=True)
def _skip_digits(p, stop):
    while p < stop and 48 <= load_byte(p) < 58:
        p += 1
    return p


@njit(nogil=True)
def _skip_number(p, stop):
    if load_byte(p) == 45:  # -
        p += 1
    begin = p
    p = _skip_digits(p, stop)
    if p == begin or (load_byte(begin) == 48 and p > begin + 1):
        return _FAIL
    if p < stop and load_byte(p) == 46:  # .
        begin = p + 1
        p = _skip_digits(begin, stop)
        if p == begin:
            return _FAIL
    if p < stop and load_byte(p) | 32 == 101:  # e
        p += 1
        if p < stop and (load_byte(p) == 43 or load_byte(p) == 45):
            p += 1
        begin = p
        p = _skip_digits(begin, stop)
        if p == begin:
            return _FAIL
    return p


@njit(nogil=True)
def _skip_scalar(p, stop, readable):
    """Behind a string, number, true, false or null; -1 where there is none."""
    byte = load_byte(p)
    if byte == 34:
        return skip_string(p + 1, stop, readable)[0]
    if byte == 45 or 48 <= byte < 58:
        return _skip_number(p, stop)
    if byte == 102:  # false
        return p + 5 if p + 5 <= stop and load32(p + 1) == _ALSE else _FAIL
    if p + 4 <= stop and (load32(p) == _TRUE or load32(p) == _NULL):
        return p + 4
    return _FAIL


@njit(nogil=True)
def _skip_key(p, stop, readable):
    """From the opening quote of a key to the value behind it, or -1."""
    if p >= stop or load_byte(p) != 34:
        return _FAIL
    p, _ = skip_string(p + 1, stop, readable)
    return _FAIL if p < 0 else skip_colon(p, stop)


@njit(nogil=True)
def skip_colon(p, stop):
    """The address behind a colon and the white space around it, or `_FAIL` where there is none."""
    p = skip_space(p, stop)
    if p >= stop or load_byte(p) != 58:
        return _FAIL
    return skip_space(p + 1, stop)


@njit(nogil=True)
def skip_value(p, stop, readable):
    """Behind any value, or -1."""
    objects, depth = np.uint64(0), 0
    while True:
        if p < 0 or p >= stop:
            return _FAIL
        byte = load_byte(p)
        if byte == 123 or byte == 91:  # { [
            is_object = byte == 123
            p = skip_space(p + 1, stop)
            if p >= stop:
                return _FAIL
            if load_byte(p) != byte + 2:
                if depth == MAX_DEPTH:
                    return _FAIL
                depth += 1
                objects = objects << _ONE | np.uint64(is_object)
                if is_object:
                    p = _skip_key(p, stop, readable)
                continue
            p += 1
        else:
            p = _skip_scalar(p, stop, readable)
            if p < 0:
                return _FAIL
        # A value has ended: so may those around it.
        while depth:
            p = skip_space(p, stop)
            if p >= stop:
                return _FAIL
            byte = load_byte(p)
            p += 1
            inside_object = objects & _ONE != 0
            if byte == 44:  # ,
                p = skip_space(p, stop)
                if inside_object:
                    p = _skip_key(p, stop, readable)
                break
            if byte != (125 if inside_object else 93):
                return _FAIL
            depth -= 1
            objects >>= _ONE
        else:
            return p
