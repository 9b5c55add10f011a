"""Texts in memory as Arrow-like buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Texts: TypeAlias = Sequence[str] | Any
"""A list of str, or an Arrow string array or chunked array."""


def text_buffers(texts: Texts) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """UTF-8 bytes and offsets int64[n + 1] of texts."""
    array: Any = texts
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    array = array.cast(pa.large_string()) if isinstance(array, pa.Array) else pa.array(array, pa.large_string())
    if array.null_count:
        raise ValueError(f"{array.null_count} texts are null")
    _, offsets, data = array.buffers()
    return (
        np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8),
        np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1],
    )
