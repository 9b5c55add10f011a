"""Parts of batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.corpus.types import Batch


def texts_of(batch: Batch, mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Text and offsets of some documents of a batch: those of bool[n]."""
    offsets = pa.py_buffer(np.ascontiguousarray(batch.text_offsets, np.int64))
    data = pa.py_buffer(np.ascontiguousarray(batch.text_data))
    texts = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(batch), [None, offsets, data])
    taken = texts.filter(pa.array(mask))
    _, offsets, data = taken.buffers()
    return (
        np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8),
        np.frombuffer(offsets, np.int64)[taken.offset : taken.offset + len(taken) + 1],
    )
