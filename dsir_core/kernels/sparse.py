"""Sums over rows of counts, in a fixed order: the same bits on every machine.

Compiled code adds in the order of its loops, and fuses no multiplication with an addition. BLAS, and SciPy's compiler,
do as the processor allows.
"""

from __future__ import annotations

from dsir_core.kernels.compiled import compiled


@compiled()
def sum_of_products(first, second):
    """Sum of `first[i] * second[i]`."""
    total = 0.0
    for i in range(len(first)):
        total += first[i] * second[i]
    return total


@compiled()
def row_sums(starts, columns, counts, vector, out):
    """Set `out[i]` to the sum of `counts[j] * vector[columns[j]]` for j in row i: [starts[i], starts[i + 1])."""
    for i in range(len(out)):
        total = 0.0
        for j in range(starts[i], starts[i + 1]):
            total += counts[j] * vector[columns[j]]
        out[i] = total


@compiled()
def add_rows(starts, columns, counts, factors, out):
    """Add `factors[i] * counts[j]` to `out[columns[j]]` for j in row i, for each row."""
    for i in range(len(factors)):
        for j in range(starts[i], starts[i + 1]):
            out[columns[j]] += factors[i] * counts[j]
