"""Chosen documents, or pieces of documents, of one file: read again, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.read import read_piece
from dsir_core.corpus.source import damaged
from dsir_core.corpus.types import Batch, Piece
from dsir_core.errors import DamagedFileError
from dsir_core.features import count_ngrams


@dataclass(frozen=True)
class Chosen:
    """Chosen documents of one file, in order of (position, offset)."""

    positions: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64] | None
    """Where the chosen pieces begin in their documents' text, when documents are cut into pieces."""

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """Positions without repetition."""
        return self.positions if self.offsets is None else np.unique(self.positions)


def read_chosen(
    piece: Piece, read: ReadSettings, chosen: Chosen, chunk: Chunking | None, *, keep_records: bool = False
) -> Iterator[tuple[Batch, Batch, slice]]:
    """Batches of whole documents; of what is chosen of them; and which of `chosen` that is.

    Args:
        read: how whole documents are read, without conditions.
        chunk: how they were cut into the pieces that are chosen.

    Raises:
        DamagedFileError: the file cannot be read whole, or no longer holds them.
    """
    done = 0
    for batch in read_piece(piece, read, keep_records=keep_records, positions=chosen.documents):
        if not len(batch):
            continue
        mine = slice(done, int(np.searchsorted(chosen.positions, batch.positions[-1], side="right")))
        done = mine.stop
        if chunk is None or chosen.offsets is None:
            yield batch, batch, mine
        else:
            wanted = set(zip(chosen.positions[mine].tolist(), chosen.offsets[mine].tolist(), strict=True))
            yield batch, _pieces(piece, batch, wanted, chunk), mine


def count_chosen(
    piece: Piece,
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
        raise _changed(piece)


def _pieces(piece: Piece, batch: Batch, wanted: set[tuple[int, int]], chunk: Chunking) -> Batch:
    """The wanted pieces (position, offset) of whole documents.

    Raises:
        DamagedFileError: they are not there.
    """
    pieces = cut_batch(batch, chunk.words)
    assert pieces.offsets is not None
    there = zip(pieces.positions.tolist(), pieces.offsets.tolist(), strict=True)
    mask = np.array([place in wanted for place in there], bool)
    if mask.sum() != len(wanted):
        raise _changed(piece)
    data, offsets = texts_of(pieces, mask)
    return Batch(pieces.positions[mask], data, offsets, offsets=pieces.offsets[mask])


def _changed(piece: Piece) -> DamagedFileError:
    return damaged(piece.file, "no longer holds the documents that were scored")
