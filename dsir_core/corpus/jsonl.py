"""JSON lines: chunks of whole lines from a stream, and the documents in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.corpus.records import BadRecordError, slow_text, text_decoder
from dsir_core.corpus.storage import ByteStream
from dsir_core.corpus.types import WHOLE, BadRecord, Batch, ReadSettings

CHUNK_BYTES = 2**20
LAST_LINE_BYTES = 2**14
"""Read behind a range at first, to find the end of its last line."""

BOM = b"\xef\xbb\xbf"
TOO_LARGE = "record is larger than max_record_bytes"

Positions = npt.NDArray[np.int64]
Keep = Callable[[Positions], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Chunk:
    """Whole lines, or (without data) a line that is too large to hold."""

    position: int
    """Of the first byte, in the decompressed stream."""
    data: bytes
    too_large: bool = False


def read_chunks(stream: ByteStream, start: int, stop: int, max_line: int, *, exact: bool = False) -> Iterator[Chunk]:
    """The lines that begin in [start, stop), in chunks of whole lines.

    Memory is that of a few chunks, or of the largest line up to `max_line` bytes.

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
        # The line that begins before start belongs to the piece before, unless it ends right there.
        position, skipping = start - 1, True
    if position:
        stream.seek(position)
    while data := stream.read(_at_once(position + n_waiting, stop)):
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
                yield Chunk(position + bom, b"", too_large=True)
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


def _at_once(position: int, stop: int) -> int:
    """Bytes to read: not much more than is wanted, when that is only a record or two."""
    return CHUNK_BYTES if stop == WHOLE else min(CHUNK_BYTES, max(0, stop - position) + LAST_LINE_BYTES)


def _first(position: int, lines: bytes, start: int) -> Iterator[Chunk]:
    """A chunk, without the byte order mark that a file may begin with."""
    if position == 0 and start == 0 and lines.startswith(BOM):
        yield Chunk(len(BOM), lines[len(BOM) :])
        return
    yield Chunk(position, lines)


class LineReader:
    """Documents of chunks of lines.

    Args:
        path: of the source file, for bad records.
        keep: which of the lines at given positions to read; all when None.
    """

    def __init__(self, path: str, settings: ReadSettings, *, keep_records: bool, keep: Keep | None) -> None:
        self._path = path
        self._settings = settings
        self._decode = text_decoder(settings)
        self._keep_records = keep_records
        self._keep = keep

    def batch(self, chunk: Chunk) -> Batch:
        """The documents and bad records of a chunk."""
        if chunk.too_large:
            return self._empty([self._too_large(chunk.position)])
        lines = chunk.data.split(b"\n")
        if not lines[-1]:
            lines.pop()  # behind the last line's end
        lengths = np.fromiter(map(len, lines), np.int64, len(lines)) + 1
        positions = chunk.position + np.cumsum(lengths) - lengths
        if self._keep is not None:
            kept = np.flatnonzero(self._keep(positions)).tolist()
            positions, lines = positions[kept], [lines[i] for i in kept]
        texts, taken, bad = self._texts(lines, positions, valid_utf8=_is_utf8(chunk.data))
        data, offsets = _buffers(texts)
        records = [_without_return(lines[i]) for i in taken] if self._keep_records else None
        n_bytes = len(chunk.data) if self._keep is None else sum(map(len, lines))
        return Batch(positions[taken], data, offsets, bad, records, n_bytes)

    def _texts(
        self, lines: list[bytes], positions: Positions, *, valid_utf8: bool
    ) -> tuple[list[str], list[int], list[BadRecord]]:
        decode, limit = self._decode, self._settings.max_record_bytes
        texts: list[str] = []
        taken: list[int] = []
        bad: list[BadRecord] = []
        for i, line in enumerate(lines):
            if not line or line.isspace():
                continue
            try:
                if len(line) > limit:
                    raise BadRecordError(f"{TOO_LARGE}: over {limit:,} bytes")
                # The fast decoder does not look at the bytes of fields that it skips.
                text = decode(line) if valid_utf8 or _is_utf8(line) else slow_text(line, self._settings.text_field)
            except BadRecordError as error:
                bad.append(BadRecord(self._path, int(positions[i]), str(error)[:200]))
                continue
            texts.append(text)
            taken.append(i)
        return texts, taken, bad

    def _too_large(self, position: int) -> BadRecord:
        return BadRecord(self._path, position, f"{TOO_LARGE}: over {self._settings.max_record_bytes:,} bytes")

    def _empty(self, bad: list[BadRecord]) -> Batch:
        records: list[bytes] | None = [] if self._keep_records else None
        return Batch(np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64), bad, records, 0)


def _without_return(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\r") else line


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    array = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, len(data)])), pa.py_buffer(data))
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _buffers(texts: list[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    array = pa.array(texts, pa.large_string())
    _, offsets, data = array.buffers()
    if data is None:
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    return np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64)[: len(texts) + 1]
