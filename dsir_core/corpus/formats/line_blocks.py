"""Blocks of whole lines from a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dsir_core.corpus.source import ByteStream
from dsir_core.corpus.types import WHOLE

CHUNK_BYTES = 2**20
LAST_LINE_BYTES = 2**14
"""Read behind a range at first, to find the end of its last line; on an object store each read is a request."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LineBlock:
    """Whole lines, or (without data) a line that is too large to hold."""

    position: int
    """Of the first byte, in the decompressed stream."""
    data: bytes
    too_large: bool = False


def read_line_blocks(
    stream: ByteStream, start: int, stop: int, max_line: int, *, exact: bool = False
) -> Iterator[LineBlock]:
    """The lines that begin in [start, stop), in blocks of whole lines.

    Memory is that of a few blocks, or of the largest line up to `max_line` bytes.

    Args:
        stream: at position 0, or seekable when start is not 0.
        stop: `WHOLE` for the end of the stream.
        exact: whether a line begins at `start`; else the first one that does so behind it is sought.
    """
    position = start
    waiting: list[bytes] = []
    n_waiting = 0
    skipping = False
    if start and not exact:
        # The line that begins before start belongs to the range before, unless it ends right there.
        position, skipping = start - 1, True
    if position:
        stream.seek(position)
    while data := stream.read(_at_once(position, n_waiting, stop)):
        if skipping:
            end = data.find(b"\n") + 1
            if not end:
                position += len(data)
                if stop != WHOLE and position >= stop:
                    return
                continue
            position += end
            data = data[end:]
            skipping = False
        if stop != WHOLE and position >= stop:
            return
        cut = data.rfind(b"\n") + 1
        if not cut:
            waiting.append(data)
            n_waiting += len(data)
            if n_waiting > max_line + len(BOM):
                bom = len(BOM) if position == 0 and b"".join(waiting[:4]).startswith(BOM) else 0
                yield LineBlock(position + bom, b"", too_large=True)
                position += n_waiting
                waiting, n_waiting, skipping = [], 0, True
            continue
        lines = b"".join([*waiting, data[:cut]])
        waiting, n_waiting = [data[cut:]], len(data) - cut
        if stop != WHOLE and position + len(lines) >= stop:
            # The last line is the one that holds the byte before stop.
            last = lines.find(b"\n", max(0, stop - 1 - position)) + 1
            if last:
                yield from _first(position, lines[:last], start)
                return
        yield from _first(position, lines, start)
        position += len(lines)
    if n_waiting and not skipping and (stop == WHOLE or position < stop):
        yield from _first(position, b"".join(waiting), start)


def _at_once(position: int, n_waiting: int, stop: int) -> int:
    """Bytes to read: not much more than is wanted, when that is only a record or two; twice as many each time."""
    if stop == WHOLE:
        return CHUNK_BYTES
    return min(CHUNK_BYTES, max(0, stop - position - n_waiting) + max(LAST_LINE_BYTES, n_waiting))


def _first(position: int, lines: bytes, start: int) -> Iterator[LineBlock]:
    """A block, without the byte order mark that a file may begin with."""
    if position == 0 and start == 0 and lines.startswith(BOM):
        yield LineBlock(len(BOM), lines[len(BOM) :])
        return
    yield LineBlock(position, lines)
