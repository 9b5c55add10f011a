"""Compiled: hashes of strings, and the search for them among sorted keys."""

from __future__ import annotations

import numpy as np

from dsir_core.features.xxh3 import xxh3
from dsir_core.kernels.compiled import compiled
from dsir_core.kernels.machine import address_of, load_byte

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


@compiled("dsir_core.features")
def hash_strings(data, offsets, first, second):
    """Hash strings by XXH3 and by FNV-1a.

    Args:
        data: uint8[...], the strings' bytes, of which none behind the last is read; offsets: int64[n + 1].
        first, second: uint64[n] to be filled.
    """
    address, spare = address_of(data), np.zeros(8, np.uint8)
    for i in range(len(offsets) - 1):
        length = offsets[i + 1] - offsets[i]
        start = address + offsets[i]
        if offsets[i] + 8 > len(data):  # `xxh3` loads eight bytes of a short string, too
            spare[:length] = data[offsets[i] : offsets[i + 1]]
            start = address_of(spare)
        first[i] = xxh3(start, length) if length > 0 else np.uint64(0)
        h = _FNV_OFFSET
        for at in range(length):
            h = (h ^ np.uint64(load_byte(start + at))) * _FNV_PRIME
        second[i] = h


@compiled("dsir_core.features")
def match(keys, seconds, first, second, scores, status, found_scores, found_status, seen):
    """Give each of n keys, sorted by both hashes, the score of the first row that has both of its hashes.

    Args:
        keys, seconds: uint64[n]. first, second, scores, status: of rows, as they come.
        found_scores, found_status: float64[n], uint8[n] to be filled.
        seen: uint8[n], rows met of each key so far, counted up to 2.
    """
    for row in range(len(first)):
        at = np.searchsorted(keys, first[row])
        while at < len(keys) and keys[at] == first[row]:
            if seconds[at] == second[row]:
                if seen[at] == 2:
                    break  # so are all that share the key: many rows may meet many documents
                if seen[at] == 0:
                    found_scores[at], found_status[at] = scores[row], status[row]
                seen[at] += 1
            at += 1
