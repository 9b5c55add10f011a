"""JSON lines: one JSON object a line, plain or compressed; a record's position is its byte offset."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.compression import PLAIN
from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.formats.field_suggestions import check_fields, suggest_fields
from dsir_core.corpus.formats.line_blocks import LineBlock, read_line_blocks
from dsir_core.corpus.formats.line_reader import LineFilter, LineReader
from dsir_core.corpus.formats.text import TextFormat
from dsir_core.corpus.source import damaged, decompressed, open_source, read_to_the_end
from dsir_core.corpus.types import BLOCK_BYTES, WHOLE, Batch, BlockFilter, FileRange, ReadRequest, SourceFile
from dsir_core.errors import RequestError

GAP_BYTES = 2**18
"""Chosen records closer than this are read in one go."""

MAX_ROW_BYTES = 2**24
"""Of a table of scores."""

Range = tuple[int, int, bool]
"""Start, stop, and whether a record begins exactly at the start."""


class JsonLines(TextFormat):
    """See `registry.Format`. Records are list[bytes]: lines without their line feed."""

    enterable = True
    skips_blocks = True

    def ranges(self, file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
        """Byte ranges of nearly equal size; a compressed file stays whole."""
        if file.compression != PLAIN:
            yield from super().ranges(file, shard_bytes)
            return
        n = -(-file.size // shard_bytes)
        edges = [file.size * i // n for i in range(n + 1)]
        for start, stop in itertools.pairwise(edges):
            yield FileRange(file, start, stop), stop - start

    def read(self, file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
        """See `read.read_range`."""
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
            if file_range.file.compression != PLAIN:
                read_to_the_end(stream)

    def columns(self, file: SourceFile, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """See `registry.Format`."""
        decode = field_decoder(names)
        with open_source(file, file.size) as source, decompressed(file, source) as stream:
            for block in read_line_blocks(stream, 0, WHOLE, MAX_ROW_BYTES):
                rows = []
                position = block.position
                for line in block.data.split(b"\n"):
                    if line.strip():
                        row = decode(line)
                        if row is None:
                            raise damaged(file, f"no JSON object at {position}")
                        rows.append(row)
                    position += len(line) + 1
                if block.too_large:
                    raise RequestError(f"{file.path}: a row of more than {MAX_ROW_BYTES:,} bytes at {block.position}")
                yield tuple([row[i] for row in rows] for i in range(len(names)))

    def check_fields(self, file: SourceFile, settings: ReadSettings) -> None:
        """See `registry.Format`; records of a file may have other fields each, so all of its first must lack one."""
        check_fields(file, settings)

    def suggest_fields(self, file: SourceFile, missing: str) -> list[str]:
        """See `registry.Format`."""
        return suggest_fields(file, missing)


FORMAT = JsonLines("jsonl")


def warm_up() -> None:
    """Compile, or load from Numba's cache on disk, what lines need."""
    # Not ASCII, or the check of UTF-8 would be compiled in the first shard that is not.
    line = '{"text": "\u00e9"}'.encode()
    LineReader("", ReadSettings(), keep_records=False, keep=None).batch(LineBlock(0, line))


def _line_filter(positions: npt.NDArray[np.int64] | None, keep_block: BlockFilter | None) -> LineFilter | None:
    if positions is not None:
        return lambda found: _is_in(found, positions)
    if keep_block is not None:
        return lambda found: keep_block(found // BLOCK_BYTES)
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
    if file_range.file.compression != PLAIN or (positions is None and keep_block is None):
        yield file_range.start, file_range.stop, False
        return
    start, stop = file_range.start, file_range.file.size if file_range.stop == WHOLE else file_range.stop
    if positions is not None:
        edges = np.flatnonzero(np.diff(positions) > GAP_BYTES) + 1
        for first, last in itertools.pairwise([0, *edges.tolist(), len(positions)]):
            if first < last:
                yield int(positions[first]), int(positions[last - 1]) + 1, True
        return
    assert keep_block is not None
    blocks = np.arange(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES), dtype=np.int64)
    kept = blocks[keep_block(blocks)]
    for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
        if len(run):
            begin = max(start, int(run[0]) * BLOCK_BYTES)
            yield begin, min(stop, (int(run[-1]) + 1) * BLOCK_BYTES), False
