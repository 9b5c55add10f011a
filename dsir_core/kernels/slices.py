"""Slices of an array: copied to where they stand one after the other, or the smallest random number of each."""

from __future__ import annotations

import numpy as np
from numba import njit

from dsir_core.kernels.compiled import compiled


@compiled()
def copy_slices(source, starts, which, out):
    """Fill `out` with the slices `source[starts[i]:starts[i + 1]]`, for each i of `which` in turn."""
    end = 0
    for i in which:
        for j in range(starts[i], starts[i + 1]):
            out[end] = source[j]
            end += 1


@njit(nogil=True)
def _mix(z):
    # As in `dsir_core.model.noise`.
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled()
def smallest_of_slices(counters, starts, first, second, out):
    """Fill `out`, uint64[n], with the smallest of the bits of the counters in each slice `[starts[i], starts[i + 1])`.

    The largest uint64 for a slice that is empty. `first` and `second` are the key of a stream.
    """
    for i in range(len(starts) - 1):
        smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
        # Of a slice no index can be negative, so that the loop becomes vector instructions: seven times as fast.
        part = counters[starts[i] : starts[i + 1]]
        for j in range(len(part)):
            bits = _mix(_mix(part[j] ^ first) + second)
            smallest = bits if bits < smallest else smallest
        out[i] = smallest
