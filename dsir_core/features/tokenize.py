"""From UTF-8 text to lower-cased tokens: the compiled counterpart of `reference.tokenize`.

Text goes 64 bytes at a time: one vector operation lower-cases and classifies the ASCII among them, characters beyond
it are looked up in the frozen table and set their bits in the same masks, and the edges of runs are the bits where the
class changes. Only what cannot be done in place goes character by character: the last bytes of a batch, a lower case of
another length, and the two characters that the table alone does not settle.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.features.unicode_table import (
    CAPITAL_SIGMA,
    CASE_IGNORABLE,
    CASED,
    CLASS_SHIFT,
    COMBINING_DOT,
    DELTA_MASK,
    DELTA_ZERO,
    DOTTED_I,
    FINAL_SIGMA,
    PUNCTUATION,
    SIGMA,
    SINGLE,
    SPACE,
    WORD,
)
from dsir_core.kernels.machine import count_ones, load_byte, lower_and_classify, trailing_zeros
from dsir_core.kernels.utf8 import encode

BLOCK = 64
_EDGES_AT_ONCE = 8

SCRATCH_FACTOR = 2
"""Lower-casing makes a text longer by half at most (two bytes to three)."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_ALL = np.uint64(2**64 - 1)


@njit(nogil=True)
def scan(position, stop, begin, readable, out, starts, ends, n_open, kind, index, entries):
    """Lower-case text and find its tokens, until the text ends or the arrays of tokens are nearly full.

    Args:
        position, stop: int64 addresses: where to go on, and the end of the document.
        begin: address of the document's first byte.
        readable: address behind the last byte that may be read.
        out: address in the scratch memory where lower-cased text goes on.
        starts, ends: int64[tokens] addresses in the scratch memory, filled from 0.
        n_open: 1 when a token is open, whose start is `starts[0]`; else 0.
        kind: class of the character before.
        index, entries: the frozen table.

    Returns:
        (position, out, complete tokens, n_open, kind); an open token's start is `starts[complete]`.
    """
    n_starts, n_ends = n_open, 0
    room = len(starts) - 2 * BLOCK
    while position < stop and n_starts < room:
        # Too near the end of the memory for a block: what is left goes character by character.
        n, until = 0, stop
        if position + BLOCK <= readable:
            word, space, high = lower_and_classify(position, out)
            n = min(BLOCK, stop - position)
            single, firsts = _NONE, _NONE
            if high & (_ALL >> np.uint64(BLOCK - n)):
                n, word, space, single, firsts = _classify_wide(position, out, n, high, word, space, index, entries)
            until = position + 1
        if n == 0:
            position, out, n_starts, n_ends, kind = _scan_characters(
                position, until, stop, begin, out, starts, ends, n_starts, n_ends, room, kind, index, entries
            )
            continue
        valid = _ALL >> np.uint64(BLOCK - n)
        word &= valid
        token = ~space & valid
        word_before = (word << _ONE) | np.uint64(kind == WORD)
        token_before = (token << _ONE) | np.uint64(kind != SPACE)
        single_before = (single << _ONE) | np.uint64(kind == SINGLE)
        change = ((word ^ word_before) | (token ^ token_before) | firsts | (single_before & ~single)) & valid
        n_starts = _add_edges(token & change, out, starts, n_starts)
        n_ends = _add_edges(token_before & change, out, ends, n_ends)
        shift = np.uint64(n - 1)
        kind = WORD if (word >> shift) & _ONE else (PUNCTUATION if (token >> shift) & _ONE else SPACE)
        if (single >> shift) & _ONE:
            kind = SINGLE
        position += n
        out += n
    if position >= stop and n_starts > n_ends:
        ends[n_ends] = out
        n_ends += 1
    return position, out, n_ends, n_starts - n_ends, kind


@njit(nogil=True)
def _add_edges(edges, out, found, n_found):
    """Append the addresses of a block's edges, and up to `_EDGES_AT_ONCE` that mean nothing; their new number."""
    # Unsigned: Numba asks of each signed index whether it counts from the end.
    at = np.uint64(n_found)
    n_found += count_ones(edges)
    while edges:
        # Some too many: where the last edge is, a processor cannot guess.
        for _ in range(_EDGES_AT_ONCE):
            found[at] = out + trailing_zeros(edges)
            at += _ONE
            edges &= edges - _ONE
    return n_found


@njit(nogil=True)
def _classify_wide(position, out, n, high, word, space, index, entries):
    """Lower-case and classify a block's characters beyond ASCII, in place: all bytes of one get its class.

    Returns:
        (n, word, space, single, firsts), where n ends the block before a character that it does not hold whole, whose
        lower case has another length, or depends on its neighbours; `single` are the bytes of letters that are tokens
        by themselves, `firsts` the first byte of each.
    """
    single, firsts = _NONE, _NONE
    rest = high & (_ALL >> np.uint64(BLOCK - n))
    while rest:
        at = trailing_zeros(rest)
        code, width = decode(position + at)
        if at + width > n:
            return at, word, space, single, firsts
        entry = entries[index[code >> 8] << 8 | code & 255]
        lowered = code + (entry & DELTA_MASK) - DELTA_ZERO
        if lowered != code or code == DOTTED_I:
            if code in (CAPITAL_SIGMA, DOTTED_I) or _width(lowered) != width:
                return at, word, space, single, firsts
            encode(lowered, out + at)
        mask = (_ALL >> np.uint64(BLOCK - width)) << np.uint64(at)
        kind = (entry >> CLASS_SHIFT) & 3
        # WORD and SINGLE are the odd classes.
        word |= mask * np.uint64(kind & WORD)
        if kind == SINGLE:
            single |= mask
            firsts |= _ONE << np.uint64(at)
        space |= mask * np.uint64(kind == SPACE)
        rest &= ~mask
    return n, word, space, single, firsts


@njit(nogil=True)
def _scan_characters(position, until, stop, begin, out, starts, ends, n_starts, n_ends, room, kind, index, entries):
    """As `scan`, one character after the other, for those that begin before `until`."""
    while position < until and n_starts < room:
        code, n = decode(position)
        entry = entries[index[code >> 8] << 8 | code & 255]
        lowered = code + (entry & DELTA_MASK) - DELTA_ZERO
        new = (entry >> CLASS_SHIFT) & 3
        if code == CAPITAL_SIGMA:
            lowered = FINAL_SIGMA if _is_final(position, stop, begin, index, entries) else SIGMA
        elif code == DOTTED_I:
            lowered = ord("i")
        if new != kind or new == SINGLE:
            if kind != SPACE:
                ends[n_ends] = out
                n_ends += 1
            if new != SPACE:
                starts[n_starts] = out
                n_starts += 1
            kind = new
        out = encode(lowered, out)
        if code == DOTTED_I:
            # Its dot is a character of its own, and no letter.
            ends[n_ends] = out
            n_ends += 1
            starts[n_starts] = out
            n_starts += 1
            kind = PUNCTUATION
            out = encode(COMBINING_DOT, out)
        position += n
    return position, out, n_starts, n_ends, kind


@njit(nogil=True)
def _width(code):
    """Bytes of a code point in UTF-8."""
    return 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)


@njit(nogil=True)
def decode(position):
    """Code point of the valid UTF-8 at an address, and its bytes."""
    first = load_byte(position)
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | load_byte(position + 1) & 0x3F, 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (load_byte(position + 1) & 0x3F) << 6 | load_byte(position + 2) & 0x3F, 3
    code = (first & 0x07) << 18 | (load_byte(position + 1) & 0x3F) << 12
    return code | (load_byte(position + 2) & 0x3F) << 6 | load_byte(position + 3) & 0x3F, 4


@njit(nogil=True)
def _is_final(position, stop, begin, index, entries):
    """Unicode's Final_Sigma at a capital sigma; see `reference.lower`."""
    cased = False
    before = position
    while before > begin:
        before -= 1
        while load_byte(before) & 0xC0 == 0x80:
            before -= 1
        code, _ = decode(before)
        entry = entries[index[code >> 8] << 8 | code & 255]
        if not entry & CASE_IGNORABLE:
            cased = entry & CASED != 0
            break
    if not cased:
        return False
    after = position + 2
    while after < stop:
        code, n = decode(after)
        entry = entries[index[code >> 8] << 8 | code & 255]
        if not entry & CASE_IGNORABLE:
            return entry & CASED == 0
        after += n
    return True
