"""Hashes of whole texts, by which exact copies are found."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import numpy.typing as npt

N_BYTES = 16


def text_hashes(text_data: npt.NDArray[np.uint8], text_offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """BLAKE2b-128 of the UTF-8 bytes of each text: nobody can write a text that has the hash of another.

    Args:
        text_data, text_offsets: as for `count_ngrams`.

    Returns:
        uint64[n, 2], little-endian words.
    """
    view, offsets = np.ascontiguousarray(text_data).data, text_offsets.tolist()
    digests = b"".join(
        hashlib.blake2b(view[start:stop], digest_size=N_BYTES).digest() for start, stop in itertools.pairwise(offsets)
    )
    return np.frombuffer(digests, "<u8").reshape(-1, 2)
