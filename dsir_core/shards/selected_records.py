"""Chosen documents, or chunks of documents, of one file: read again, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.read import read_range
from dsir_core.corpus.source import damaged
from dsir_core.corpus.types import Batch, FileRange
from dsir_core.errors import DamagedFileError
from dsir_core.features import count_ngrams


@dataclass(frozen=True)
class SelectedRows:
    """Chosen documents of one file, in order of (position, offset)."""

    positions: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64] | None
    """Where the chosen chunks begin in their documents' text, when documents are cut into chunks."""

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """Positions without repetition."""
        return self.positions if self.offsets is None else np.unique(self.positions)


def read_chosen(
    file_range: FileRange,
    read: ReadSettings,
    chosen: SelectedRows,
    chunk: Chunking | None,
    *,
    keep_records: bool = False,
    fields: tuple[str, ...] = (),
) -> Iterator[tuple[Batch, Batch, slice]]:
    """Batches of whole documents; of what is chosen of them; and which of `chosen` that is.

    Args:
        read: how whole documents are read, without conditions.
        chunk: how they were cut into the chunks that are chosen.
        keep_records: see `read_range`.
        fields: see `read_range`; of the whole documents.

    Raises:
        DamagedFileError: the file cannot be read whole, or no longer holds them.
        RequestError: a file with named columns has no such field.
    """
    done = 0
    for batch in read_range(file_range, read, keep_records=keep_records, positions=chosen.documents, fields=fields):
        if not len(batch):
            continue
        mine = slice(done, int(np.searchsorted(chosen.positions, batch.positions[-1], side="right")))
        done = mine.stop
        if chunk is None or chosen.offsets is None:
            yield batch, batch, mine
        else:
            wanted = set(zip(chosen.positions[mine].tolist(), chosen.offsets[mine].tolist(), strict=True))
            yield batch, _chunks(file_range, batch, wanted, chunk), mine


def count_chosen(
    file_range: FileRange,
    found: Batch,
    n_tokens: npt.NDArray[np.int32],
    which: npt.NDArray[np.bool_],
    features: FeatureSettings,
    counts: npt.NDArray[np.int64],
) -> None:
    """Add the n-grams of some of the documents found to counts.

    Args:
        n_tokens: int32[n], of the documents when they were scored.
        which: bool[n].
        counts: int64[buckets], added to in place.

    Raises:
        DamagedFileError: they have another number of tokens now.
    """
    data, offsets = (found.text_data, found.text_offsets) if which.all() else texts_of(found, which)
    if not np.array_equal(count_ngrams(data, offsets, features, counts), n_tokens[which]):
        raise _changed(file_range)


def _chunks(file_range: FileRange, batch: Batch, wanted: set[tuple[int, int]], chunk: Chunking) -> Batch:
    """The wanted chunks (position, offset) of whole documents.

    Raises:
        DamagedFileError: they are not there.
    """
    chunks = cut_batch(batch, chunk.words)
    assert chunks.offsets is not None
    there = zip(chunks.positions.tolist(), chunks.offsets.tolist(), strict=True)
    mask = np.array([place in wanted for place in there], bool)
    if mask.sum() != len(wanted):
        raise _changed(file_range)
    data, offsets = texts_of(chunks, mask)
    return Batch(chunks.positions[mask], data, offsets, offsets=chunks.offsets[mask])


def _changed(file_range: FileRange) -> DamagedFileError:
    return damaged(file_range.file, "no longer holds the documents that were scored")
