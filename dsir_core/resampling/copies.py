"""Exact copies of documents, found by the hashes of their texts in bounded memory.

Each shard's hashes are sorted into an index, whose slices for one partition of all hashes can be read by themselves.
The slices of all shards together show which documents are copies of one before, in order of (file, position), and
which stand in a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

BINS = 1024
"""Of hashes by their first bits; a partition is a run of bins."""

PARTITION_DOCUMENTS = 8_000_000
"""About so many documents a partition: 1 GB at most while they are sorted."""

ENTRY = np.dtype([("first", "<u8"), ("second", "<u8"), ("row", "<i8")])
"""Of an index: a document's hash, and its row in the shard's weights."""

MARK = np.dtype([("row", "<i8"), ("kind", "u1")])

COPY, IN_TARGET = 1, 2
"""Bits of a mark: one before has the text; a target has it."""

HEADER = np.dtype("<i8")


def index_bytes(hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> bytes:
    """An index: int64[BINS + 1] of where each bin begins, then the entries in order of (hash, row).

    Args:
        hashes: uint64[n, 2]. rows: int64[n], increasing.
    """
    order = np.lexsort((rows, hashes[:, 1], hashes[:, 0]))
    entries = np.empty(len(rows), ENTRY)
    entries["first"], entries["second"], entries["row"] = hashes[order, 0], hashes[order, 1], rows[order]
    bins = (entries["first"] >> np.uint64(64 - BINS.bit_length() + 1)).astype(np.int64)
    return np.searchsorted(bins, np.arange(BINS + 1)).astype(HEADER).tobytes() + entries.tobytes()


def read_slice(stream: IO[bytes], n_parts: int, start: int, stop: int, kind: np.dtype) -> np.ndarray:
    """Entries of the parts [start, stop) of a file that begins with where each of its `n_parts` parts begins."""
    stream.seek(start * HEADER.itemsize)
    places = np.frombuffer(stream.read((stop - start + 1) * HEADER.itemsize), HEADER)
    stream.seek((n_parts + 1) * HEADER.itemsize + int(places[0]) * kind.itemsize)
    return np.frombuffer(stream.read(int(places[-1] - places[0]) * kind.itemsize), kind)


def n_partitions(documents: int) -> int:
    """Into how many partitions the hashes of so many documents are divided: a power of two, at most `BINS`."""
    wanted = -(-documents // PARTITION_DOCUMENTS)
    return min(BINS, 1 << max(0, wanted - 1).bit_length())


@dataclass(frozen=True)
class CopyCounts:
    """Copies among some documents."""

    documents: int = 0
    copies: int = 0
    """Documents whose text one before them has."""
    largest: int = 0
    """Documents of the text that is there most often; 1 where there are no copies."""
    in_target: int = 0
    """Documents whose text a target has."""

    def plus(self, other: CopyCounts) -> CopyCounts:
        """Of documents with other texts together."""
        return CopyCounts(
            self.documents + other.documents,
            self.copies + other.copies,
            max(self.largest, other.largest),
            self.in_target + other.in_target,
        )


def find_copies(
    shards: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> tuple[CopyCounts, npt.NDArray[np.int32], np.ndarray]:
    """Copies in one partition.

    Args:
        shards: the entries of each shard of raw, in order of shards. targets: those of targets.

    Returns:
        The counts; int32[m], the shards of the documents that are copies or stand in a target, in order; and their
        marks, `MARK[m]`, in order of rows.
    """
    entries = np.concatenate([np.empty(0, ENTRY), *targets, *shards])
    sizes = [sum(map(len, targets)), *map(len, shards)]
    shard = np.repeat(np.arange(-1, len(shards), dtype=np.int32), sizes)
    if not sum(sizes[1:]):
        return CopyCounts(), np.empty(0, np.int32), np.empty(0, MARK)
    # Stable: entries with the same hash stay in order of shards and, as in the indexes, of rows.
    order = np.lexsort((entries["second"], entries["first"]))
    entries, shard = entries[order], shard[order]
    begins = np.ones(len(entries), bool)
    begins[1:] = (entries["first"][1:] != entries["first"][:-1]) | (entries["second"][1:] != entries["second"][:-1])
    text, starts = np.cumsum(begins) - 1, np.flatnonzero(begins)
    # Targets come before raw: of a text that stands in one, all documents of raw come after its first entry.
    in_target = (shard[starts] < 0)[text] & (shard >= 0)
    of_raw = np.bincount(text[shard >= 0], minlength=len(starts))
    is_copy = (shard >= 0) & (_rank(shard >= 0, starts, text) > 0)
    counts = CopyCounts(sum(sizes[1:]), int(is_copy.sum()), int(of_raw.max()), int(in_target.sum()))
    kinds = (IN_TARGET * in_target + COPY * is_copy).astype(np.uint8)
    marked = np.flatnonzero(kinds)
    marked = marked[np.lexsort((entries["row"][marked], shard[marked]))]
    marks = np.empty(len(marked), MARK)
    marks["row"], marks["kind"] = entries["row"][marked], kinds[marked]
    return counts, shard[marked], marks


def _rank(which: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64], text: npt.NDArray[np.int64]) -> np.ndarray:
    """int64[n]: for entries of bool[n], how many of these stand before in the same text."""
    before = np.cumsum(which, dtype=np.int64) - which
    return np.asarray(before - before[starts][text])


def marks_bytes(shards: npt.NDArray[np.int32], marks: np.ndarray, n_shards: int) -> bytes:
    """A file of marks: int64[n_shards + 1] of where each shard's begin, then the marks."""
    return np.searchsorted(shards, np.arange(n_shards + 1)).astype(HEADER).tobytes() + marks.tobytes()
