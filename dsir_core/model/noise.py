"""Counter-based noise, and a logarithm that gives the same bits on every machine.

The noise of a document depends on (seed, target, file, position) alone, so it does not know of shards, order or
workers. `numpy.log` and the C library's `log` may differ in the last bit between processors (vector units, fused
multiply-add), and so does `exp`; log ratios and keys use `log_exact` and `exp_exact` instead: additions,
multiplications and divisions of IEEE 754 float64 in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.digests import hash64

BLOCK = 8192

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_SQRT_HALF = 0.70710678118654752440
_SERIES = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_EXP_SERIES = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_INVERSE_LN2 = 1.44269504088896338700e00


def log_exact(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Natural logarithm of positive, finite, normal float64, elementwise; the same bits on every machine."""
    return _by_block(_log, values)


def exp_exact(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Exponential of float64 from -700 to 700, elementwise; the same bits on every machine."""
    return _by_block(_exp, values)


def _by_block(
    function: Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]], values: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Apply a function elementwise, to so many values at a time that what lies between its steps stays in cache."""
    out = np.empty(values.shape, np.float64)
    flat_in, flat_out = values.ravel(), out.reshape(-1)
    for begin in range(0, len(flat_in), BLOCK):
        flat_out[begin : begin + BLOCK] = function(flat_in[begin : begin + BLOCK])
    return out


def _log(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Sun's fdlibm algorithm (e_log.c): x = 2^k (1 + f), log(1 + f) = f - s (f - R(s^2)) with s = f / (2 + f),
    # error below 1 unit in the last place. x is positive, finite and normal here.
    mantissa, exponent = np.frexp(x)
    is_small = mantissa < _SQRT_HALF
    mantissa = np.where(is_small, mantissa * 2.0, mantissa)
    k = (exponent - is_small).astype(np.float64)
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = np.zeros_like(z)
    for factor in reversed(_SERIES):
        r = z * (r + factor)
    half_square = 0.5 * f * f
    return np.asarray(k * _LN2_HIGH - ((half_square - (s * (half_square + r) + k * _LN2_LOW)) - f), np.float64)


def _exp(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Sun's fdlibm algorithm (e_exp.c): x = k ln 2 + r, exp(r) by a rational function, error below 1 unit in the last
    # place.
    k = np.floor(_INVERSE_LN2 * x + 0.5)
    high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    t = r * r
    c = np.zeros_like(t)
    for factor in reversed(_EXP_SERIES):
        c = t * (c + factor)
    c = r - c
    return np.asarray(np.ldexp(1.0 - ((low - (r * c) / (2.0 - c)) - high), k.astype(np.int32)), np.float64)


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # Finalizer of SplitMix64 (Steele, Lea, Flood 2014; Stafford's variant 13).
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _gumbel(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return -_log(-_log(uniform(bits)))


def random_bits(counters: npt.NDArray[np.int64], *stream: str | int) -> npt.NDArray[np.uint64]:
    """64 random bits for each counter of a stream.

    Args:
        counters: int64[n].
        stream: strings and integers that name the stream; hashed to a 128-bit key.

    Returns:
        uint64[n], uniform, independent across counters and streams.
    """
    first, second = _key(stream)
    bits = np.ascontiguousarray(counters, np.int64).view(np.uint64)
    return _mix(_mix(bits ^ first) + second)


def smallest_bits(
    counters: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], *stream: str | int
) -> npt.NDArray[np.uint64]:
    """The smallest of the `random_bits` of each slice of some counters.

    Args:
        counters: int64[m].
        starts: int64[n + 1], slice i is [starts[i], starts[i + 1]).
        stream: as for `random_bits`.

    Returns:
        uint64[n]; the largest number for an empty slice.
    """
    # Where it is used: the driver of a run needs no compiler.
    from dsir_core.kernels.slices import smallest_of_slices

    smallest = np.empty(len(starts) - 1, np.uint64)
    bits = np.ascontiguousarray(counters, np.int64).view(np.uint64)
    smallest_of_slices(bits, starts, *_key(stream), smallest)
    return smallest


def _key(stream: tuple[str | int, ...]) -> tuple[np.uint64, np.uint64]:
    return np.uint64(hash64("first", *stream)), np.uint64(hash64("second", *stream))


def document_bits(
    positions: npt.NDArray[np.int64], path: str, offsets: npt.NDArray[np.int64] | None, stream: str, *more: str | int
) -> npt.NDArray[np.uint64]:
    """64 random bits for each document at `positions` of a file, whatever shard it is read in.

    Args:
        positions: int64[n], positions of records.
        path: the file's path relative to the corpus root.
        offsets: int64[n], where chunks of documents begin in their text; None for whole documents.
        stream, more: name the stream.

    Returns:
        uint64[n].
    """
    if offsets is None:
        return random_bits(positions, stream, *more, path)
    of_documents = random_bits(positions, "document", path)
    counters = (of_documents ^ np.asarray(offsets, np.int64).view(np.uint64)).view(np.int64)
    return random_bits(counters, f"{stream} of pieces", *more, path)


def uniform(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """float64[n] from uint64[n] random bits: one of 2^52 values between 0 and 1, neither of which it is."""
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def gumbel(
    positions: npt.NDArray[np.int64],
    seed: int,
    target: int,
    path: str,
    offsets: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float64]:
    """Gumbel(0, 1) noise of the documents at `positions` of a file, for one target.

    Args:
        positions, path, offsets: as for `document_bits`.
        seed: the run's seed.
        target: index of the target that selects; each has noise of its own.

    Returns:
        float64[n].
    """
    return _by_block(_gumbel, document_bits(positions, path, offsets, "gumbel", seed, target))


def warm_up() -> None:
    """Compile, or load from disk, what `smallest_bits` needs."""
    smallest_bits(np.zeros(0, np.int64), np.zeros(1, np.int64))
