"""Documents of a range of a source file, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.formats.jsonl import LineFilter, LineReader, read_line_blocks
from dsir_core.corpus.formats.parquet import read_parquet
from dsir_core.corpus.source import ByteStream, damaged, decompressed, open_source
from dsir_core.corpus.types import JSONL_BLOCK_BYTES, WHOLE, Batch, BlockFilter, FileRange, ReadRequest
from dsir_core.runtime.cancellation import check_cancelled

GAP_BYTES = 2**18
"""Chosen records closer than this are read in one go."""

Range = tuple[int, int, bool]
"""Start, stop, and whether a record begins exactly at the start."""


def read_range(
    file_range: FileRange,
    settings: ReadSettings,
    *,
    keep_records: bool = False,
    positions: npt.NDArray[np.int64] | None = None,
    keep_block: BlockFilter | None = None,
    fields: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Documents of a range of a file in batches of a few megabytes, in order of position; a batch may have none.

    With `chunk` in the settings the batches hold chunks of documents, and no records.

    Args:
        file_range: what to read.
        settings: where the text stands, and how large a record may be.
        keep_records: give the records as they were, too.
        positions: int64[n], increasing: read these documents only, each of which must be there.
        keep_block: which blocks (int64[b] of numbers) to read; a record is in block `position // JSONL_BLOCK_BYTES`,
            or `row // PARQUET_BLOCK_ROWS`.
        fields: other fields (dotted paths) whose values are wanted.

    Raises:
        DamagedFileError: the file cannot be read whole, or has changed.
        RequestError: a Parquet file has no such column.
        OSError: of the storage.
    """
    reader = _read_jsonl if file_range.file.format == "jsonl" else read_parquet
    found = 0
    how = ReadRequest(keep_records, positions, keep_block, fields)
    for batch in reader(file_range, settings, how):
        check_cancelled()
        found += len(batch)
        yield batch if settings.chunk is None else cut_batch(batch, settings.chunk.words)
    if positions is not None and found != len(positions):
        raise damaged(file_range.file, f"holds {found:,} of {len(positions):,} documents chosen from it: changed")


def _read_jsonl(file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
    positions, keep_block = wanted.positions, wanted.keep_block
    keep = _line_filter(positions, keep_block)
    reader = LineReader(
        file_range.file.path, settings, keep_records=wanted.keep_records, keep=keep, fields=wanted.fields
    )
    ranges = list(_ranges(file_range, positions, keep_block))
    with (
        open_source(file_range.file, _ahead_until(file_range, ranges)) as source,
        decompressed(file_range.file, source) as stream,
    ):
        for start, stop, exact in ranges:
            for block in read_line_blocks(stream, start, stop, settings.max_record_bytes, exact=exact):
                if not block.too_large or keep is None or keep(np.array([block.position]))[0]:
                    yield reader.batch(block)
        if file_range.file.compression != "none":
            _read_to_the_end(stream)


def _read_to_the_end(stream: ByteStream) -> None:
    """A checksum stands at the end: only a stream read to its end is known to be whole."""
    while stream.read(2**20):
        pass


def _line_filter(positions: npt.NDArray[np.int64] | None, keep_block: BlockFilter | None) -> LineFilter | None:
    if positions is not None:
        return lambda found: _is_in(found, positions)
    if keep_block is not None:
        return lambda found: keep_block(found // JSONL_BLOCK_BYTES)
    return None


def _is_in(found: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `found` are among `positions`, which are sorted and may be many more."""
    if not len(positions):
        return np.zeros(len(found), bool)
    places = np.minimum(np.searchsorted(positions, found), len(positions) - 1)
    return np.equal(positions[places], found)


def _ahead_until(file_range: FileRange, ranges: list[Range]) -> int:
    """Where fetching ahead ends: nowhere near, when only some ranges are wanted."""
    if len(ranges) != 1:
        return 0
    _, stop, is_exact = ranges[0]
    if is_exact:
        return 0
    return file_range.file.size if stop == WHOLE else stop


def _ranges(
    file_range: FileRange, positions: npt.NDArray[np.int64] | None, keep_block: BlockFilter | None
) -> Iterator[Range]:
    """Byte ranges to read: all of the range, or only where something is wanted and the file can be entered there."""
    if file_range.file.compression != "none" or (positions is None and keep_block is None):
        yield file_range.start, file_range.stop, False
        return
    start, stop = file_range.start, file_range.file.size if file_range.stop == WHOLE else file_range.stop
    if positions is not None:
        edges = np.flatnonzero(np.diff(positions) > GAP_BYTES) + 1
        for first, last in pairwise([0, *edges.tolist(), len(positions)]):
            if first < last:
                yield int(positions[first]), int(positions[last - 1]) + 1, True
        return
    assert keep_block is not None
    blocks = np.arange(start // JSONL_BLOCK_BYTES, -(-stop // JSONL_BLOCK_BYTES), dtype=np.int64)
    kept = blocks[keep_block(blocks)]
    for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
        if len(run):
            begin = max(start, int(run[0]) * JSONL_BLOCK_BYTES)
            yield begin, min(stop, (int(run[-1]) + 1) * JSONL_BLOCK_BYTES), False
