"""Copying slices of an array to where they stand one after the other."""

from __future__ import annotations

from dsir_core.kernels.compiled import compiled


@compiled()
def copy_slices(source, starts, which, out):
    """Fill `out` with the slices `source[starts[i]:starts[i + 1]]`, for each i of `which` in turn."""
    end = 0
    for i in which:
        for j in range(starts[i], starts[i + 1]):
            out[end] = source[j]
            end += 1
