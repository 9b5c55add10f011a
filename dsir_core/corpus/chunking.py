"""Batches of documents as batches of their chunks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsir_core.corpus.types import Batch
from dsir_core.features.chunks import cut
from dsir_core.features.unicode_table import ENTRIES, INDEX
from dsir_core.kernels.cache_key import read_only


def cut_batch(batch: Batch, words: int) -> Batch:
    """The chunks of a batch's documents, in order; records are left out.

    Args:
        words: of each chunk; the last of a document may have fewer.
    """
    starts, documents = piece_starts(batch.text_data, batch.text_offsets, words)
    return Batch(
        batch.positions[documents],
        batch.text_data,
        np.append(starts, batch.text_offsets[-1]),
        batch.bad,
        None,
        batch.n_bytes,
        batch.excluded,
        [batch.fields[i] for i in documents.tolist()] if batch.fields else [],
        starts - batch.text_offsets[documents],
    )


def piece_starts(
    text_data: npt.NDArray[np.uint8], text_offsets: npt.NDArray[np.int64], words: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where chunks of documents begin in `text_data`, and whose they are: int64[chunks] each.

    Args:
        text_data, text_offsets: as for `count_ngrams`.
    """
    n = len(text_offsets) - 1
    # A word has a byte at least, and another before the next one, unless it is a letter of three.
    room = n + int(text_offsets[-1] - text_offsets[0]) // (2 * words) + n
    starts, documents = np.empty(room, np.int64), np.empty(room, np.int64)
    entries = ENTRIES["unicode"]
    found = cut(
        read_only(text_data, np.uint8), read_only(text_offsets, np.int64), words, INDEX, entries, starts, documents
    )
    return starts[:found], documents[:found]
