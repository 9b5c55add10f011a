"""Hashes of strings by the million: 128 bits each, so that equal hashes are equal strings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.external.lookup import hash_strings
from dsir_core.kernels.cache_key import read_only


def string_hashes(array: Any) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """XXH3-64 and FNV-1a of strings.

    Args:
        array: Arrow large_string array without nulls.

    Returns:
        uint64[n] twice.
    """
    first, second = np.empty(len(array), np.uint64), np.empty(len(array), np.uint64)
    _, offsets, data = array.buffers()
    if len(array):
        # A byte behind the end, since an array of empty strings may have no data at all.
        text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
        places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        hash_strings(read_only(text, np.uint8), read_only(places, np.int64), first, second)
    return first, second


def key_strings(values: list[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Keys as text: strings as they are, integers in decimals; all else is none.

    Returns:
        Arrow large_string array, "" where there is none; bool[n], where there is one.
    """
    texts = [str(value) if _is_key(value) else None for value in values]
    there = np.array([text is not None for text in texts], bool)
    return pa.array([text or "" for text in texts], pa.large_string()), there


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
