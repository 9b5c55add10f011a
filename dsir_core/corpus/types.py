"""What a corpus is made of: source files, ranges of files, shards, batches of documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

WHOLE = -1
"""`FileRange.stop` of a range that reaches to the end of its file."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One object of a corpus, as listed when the run was planned."""

    path: str
    """Path relative to the corpus root, with `/`: names the file in noise, weights and output."""
    url: str
    """fsspec URL or local path to open."""
    size: int
    """Bytes as stored (compressed)."""
    version: str
    """ETag or modification time: changes when the content does; with every listing where storage reports none."""
    format: str
    """Name in `formats.registry.ENTRIES`."""
    compression: str
    """Name in `compression.CODECS`."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """A contiguous part of one source file.

    What start and stop count is known to the format: bytes [start, stop) of plain JSON lines, where a record belongs to
    the range in which it begins; row groups of Parquet; record batches of Arrow. A file that is read whole has start 0
    and stop `WHOLE`.
    """

    file: SourceFile
    start: int = 0
    stop: int = WHOLE


@dataclass(frozen=True, slots=True)
class Shard:
    """A unit of work: ranges read one after the other, in order of (path, start)."""

    index: int
    ranges: tuple[FileRange, ...]
    n_bytes: int
    """Stored bytes this shard reads."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that yields no document."""

    path: str
    position: int
    reason: str
    """One line, at most 200 characters, without the record's content."""


@dataclass
class Batch:
    """Documents of one range, as Arrow-like UTF-8 buffers, with their records when asked for.

    `text_data[text_offsets[i]:text_offsets[i + 1]]` is the valid UTF-8 text of document i, whose
    record stands at `positions[i]` (byte offset in the decompressed stream, or row number).
    """

    positions: npt.NDArray[np.int64]
    """int64[n], strictly increasing within a range."""
    text_data: npt.NDArray[np.uint8]
    """uint8[>= text_offsets[-1]]."""
    text_offsets: npt.NDArray[np.int64]
    """int64[n + 1]; text_offsets[0] need not be 0."""
    bad: list[BadRecord] = field(default_factory=list)
    """Bad records met since the previous batch."""
    records: Any = None
    """None, or the n records as they were, in a form that their format alone knows."""
    n_bytes: int = 0
    """Decompressed bytes of the records behind this batch, or of their text where columns are stored apart."""
    excluded: int = 0
    """Records since the previous batch that the read settings' conditions keep out."""
    fields: list[list[Any]] = field(default_factory=list)
    """For each document the values of the fields asked for, None where its record has none; empty when none were."""
    offsets: npt.NDArray[np.int64] | None = None
    """int64[n], where each chunk begins in its document's text (UTF-8 bytes), when documents are cut into chunks."""

    def __len__(self) -> int:
        return len(self.positions)


BlockFilter = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class ReadRequest:
    """What of a range is read; see `read.read_range`."""

    keep_records: bool = False
    positions: npt.NDArray[np.int64] | None = None
    keep_block: BlockFilter | None = None
    fields: tuple[str, ...] = ()


BLOCK_BYTES = 2**18
"""Bytes of a block of a file whose positions are byte offsets; a record is in the block in which it begins."""

BLOCK_ROWS = 512
"""Records of a block of a file whose positions are row numbers."""
