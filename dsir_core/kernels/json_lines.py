"""The text of JSON lines, compiled: no Python object a record, and no doubt either.

A line is taken only where it is beyond question a JSON object with the text in one string field; the whole of it is
checked against the grammar. Everything else (another kind of value, the field twice, an escape in a key, half a
surrogate pair, NaN, deep nesting, any error) is left to `json_records.slow_text`, which knows what it means, or why
it is bad.
"""

from __future__ import annotations

from numba import njit

from dsir_core.kernels.compiled import compiled
from dsir_core.kernels.json_values import copy_string, skip_colon, skip_space, skip_string, skip_value
from dsir_core.kernels.machine import address_of, load_byte

BLANK, TAKEN, LEFT = 0, 1, 2
"""Status of a line: nothing but white space, its text is taken, left to the slow decoder."""


@njit(nogil=True)
def _is_key(p, end, key):
    if end - p != len(key):
        return False
    for i in range(len(key)):  # noqa: SIM110
        if load_byte(p + i) != key[i]:
            return False
    return True


@njit(nogil=True)
def _take_text(p, stop, readable, key, out):
    """Parse a line that begins with an object; the text goes to `out`.

    Returns:
        (status, address behind the text).
    """
    begin, found = out, False
    p = skip_space(p + 1, stop)
    while True:
        if p >= stop or load_byte(p) != 34:
            return LEFT, begin
        name = p + 1
        p, escaped = skip_string(name, stop, readable)
        if p < 0 or escaped:
            return LEFT, begin
        is_text = _is_key(name, p - 1, key)
        p = skip_colon(p, stop)
        if p < 0 or p >= stop:
            return LEFT, begin
        if is_text:
            if found or load_byte(p) != 34:
                return LEFT, begin
            p, out = copy_string(p + 1, stop, readable, out)
            found = True
        else:
            p = skip_value(p, stop, readable)
        if p < 0:
            return LEFT, begin
        p = skip_space(p, stop)
        if p >= stop:
            return LEFT, begin
        byte = load_byte(p)
        p = skip_space(p + 1, stop)
        if byte == 44:
            continue
        if byte == 125 and p == stop and found:
            return TAKEN, out
        return LEFT, begin


@compiled()
def take_texts(data, starts, stops, key, max_bytes, text, offsets, status):
    """Take the texts of lines.

    Args:
        data: uint8[...], valid UTF-8 that holds the lines; starts, stops: int64[n], each line without its end.
        key: uint8[...], the name of the text field.
        max_bytes: longer lines are left.
        text: uint8[>= len(data) + 64], filled from the beginning; offsets: int64[n + 1] into it, filled; a line
            whose text is not taken has an empty one.
        status: uint8[n], filled with `BLANK`, `TAKEN` or `LEFT`.
    """
    address = address_of(data)
    readable = address + len(data)
    begin = address_of(text)
    out = begin
    for line in range(len(starts)):
        offsets[line] = out - begin
        p, stop = skip_space(address + starts[line], address + stops[line]), address + stops[line]
        if p == stop:
            status[line] = BLANK
        elif load_byte(p) != 123 or stops[line] - starts[line] > max_bytes:
            status[line] = LEFT
        else:
            status[line], out = _take_text(p, stop, readable, key, out)
    offsets[len(starts)] = out - begin
