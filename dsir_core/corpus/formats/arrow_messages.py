"""The messages of an Arrow IPC file: where they stand, how many rows they hold, how large they are when decompressed.

pyarrow reads record batches, but says none of this before it has read them whole. Source: "Arrow Columnar Format",
section "Serialization and Interprocess Communication (IPC)", and Message.fbs, File.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsir_core.corpus.source import Source

MAGIC = b"ARROW1"
FIRST = len(MAGIC) + 2
"""Where messages begin in the file layout."""

CONTINUATION = b"\xff\xff\xff\xff"
PREFIX_BYTES = 8
MAX_METADATA_BYTES = 2**26
MAX_BATCH_BYTES = 2**31
"""Of a record batch or of all dictionaries, as stored and as decompressed: it is held whole."""

MAX_BATCH_ROWS = 2**28
SCHEMA, DICTIONARY, BATCH = 1, 2, 3

GAP_BYTES = 128
"""Between messages there is padding, but no room for a message."""


class Table:
    """A table of a flatbuffer: fields by number.

    Raises:
        ValueError: an offset leads out of the buffer.
    """

    def __init__(self, data: bytes, position: int | None = None) -> None:
        self._data = data
        self._position = self._offset(0) if position is None else position
        self._vtable = self._position - self._read("<i", self._position)

    def _read(self, kind: str, position: int) -> int:
        try:
            if position < 0:
                raise struct.error
            (value,) = struct.unpack_from(kind, self._data, position)
        except struct.error:
            raise ValueError("metadata of a message is corrupt") from None
        return int(value)

    def _offset(self, position: int) -> int:
        return position + self._read("<I", position)

    def _place(self, field: int) -> int:
        """Where a field stands; 0 where it has its default."""
        entry = 4 + 2 * field
        if entry + 2 > self._read("<H", self._vtable):
            return 0
        offset = self._read("<H", self._vtable + entry)
        return self._position + offset if offset else 0

    def integer(self, field: int, kind: str) -> int:
        """A number, by the format of `struct`."""
        place = self._place(field)
        return self._read(kind, place) if place else 0

    def table(self, field: int) -> Table | None:
        """A table inside this one."""
        place = self._place(field)
        return Table(self._data, self._offset(place)) if place else None

    def structs(self, field: int, kind: str) -> list[Any]:
        """A vector of structs."""
        place = self._place(field)
        if not place:
            return []
        start = self._offset(place)
        n, size = self._read("<I", start), struct.calcsize(kind)
        if start + 4 + n * size > len(self._data):
            raise ValueError("metadata of a message is corrupt")
        return list(struct.iter_unpack(kind, self._data[start + 4 : start + 4 + n * size]))


@dataclass(frozen=True)
class Message:
    """A message of a file."""

    kind: int
    offset: int
    n_metadata: int
    """With its prefix."""
    n_body: int
    header: Table
    """Of the kind."""

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.offset + self.n_metadata + self.n_body

    @property
    def n_rows(self) -> int:
        """Of a record batch."""
        n_rows = self.header.integer(0, "<q")
        if not 0 <= n_rows <= MAX_BATCH_ROWS:
            raise ValueError(f"a record batch of {n_rows:,} rows")
        return n_rows

    def read(self, source: Source) -> bytes:
        """The message with its body.

        Raises:
            ValueError: it is too large to be held, as it is or decompressed.
        """
        self._check(self.n_body)
        data = read_at(source, self.offset, self.n_metadata + self.n_body)
        batch = self.header if self.kind == BATCH else self.header.table(1)
        if self.kind in (BATCH, DICTIONARY) and batch is not None and batch.table(3) is not None:
            n_bytes = 0
            for offset, length in batch.structs(2, "<qq"):
                place = self.n_metadata + offset
                if length and offset >= 0 and place + 8 <= len(data):
                    # -1: this buffer is not compressed.
                    (size,) = struct.unpack_from("<q", data, place)
                    n_bytes += size if size >= 0 else length
            self._check(n_bytes)
        return data

    def _check(self, n_bytes: int) -> None:
        if n_bytes > MAX_BATCH_BYTES:
            raise ValueError(
                f"a record batch of {n_bytes:,} bytes, which is more than the {MAX_BATCH_BYTES:,} that are held at "
                f"once: write the file anew with smaller batches"
            )


def read_at(source: Source, offset: int, n: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        ValueError: the file ends before.
    """
    source.seek(offset)
    parts = []
    while n and (data := source.read(n)):
        parts.append(data)
        n -= len(data)
    if n:
        raise ValueError(f"ends {n:,} bytes before the end of a message: it was cut short")
    return b"".join(parts)


def message_at(source: Source, offset: int, size: int) -> Message | None:
    """The message that begins at an offset of a file of `size` bytes; None for the end of the stream.

    Raises:
        ValueError: there is none.
    """
    if offset + PREFIX_BYTES > size:
        raise ValueError("ends without its end-of-stream marker: it was cut short, or its writer was not closed")
    prefix = read_at(source, offset, PREFIX_BYTES)
    (n,) = struct.unpack("<i", prefix[4:])
    if prefix[:4] != CONTINUATION:
        raise ValueError(f"no message begins at byte {offset:,}")
    if n == 0:
        return None
    if not 0 < n <= min(MAX_METADATA_BYTES, size - offset - PREFIX_BYTES):
        raise ValueError(f"metadata of {n:,} bytes at byte {offset:,}")
    message = Table(read_at(source, offset + PREFIX_BYTES, n))
    header = message.table(2)
    n_body = message.integer(3, "<q")
    if header is None or not 0 <= n_body <= size - offset - PREFIX_BYTES - n:
        raise ValueError(f"the message at byte {offset:,} is longer than the file, or empty: it was cut short")
    return Message(message.integer(1, "<B"), offset, PREFIX_BYTES + n, n_body, header)


@dataclass(frozen=True)
class Block:
    """What the footer says of a message."""

    offset: int
    n_bytes: int


def blocks(source: Source, size: int) -> tuple[list[Block], list[Block]]:
    """Dictionaries and record batches of a file in the file layout, by its footer.

    Raises:
        ValueError: there is no footer, or it does not account for all of the file.
    """
    tail = read_at(source, max(0, size - len(MAGIC) - 4), min(size, len(MAGIC) + 4))
    if len(tail) < 10 or tail[4:] != MAGIC:
        raise ValueError("has no footer: it was cut short")
    (n,) = struct.unpack("<i", tail[:4])
    start = size - len(tail) - n
    if n <= 0 or start < FIRST:
        raise ValueError("its footer is corrupt")
    footer = Table(read_at(source, start, n))
    found = [
        [Block(offset, n_metadata + n_body) for offset, n_metadata, n_body in footer.structs(field, "<qi4xq")]
        for field in (2, 3)
    ]
    first = message_at(source, FIRST, start)
    edge = first.end if first is not None else FIRST
    for block in sorted((*found[0], *found[1]), key=lambda block: block.offset):
        if not edge <= block.offset <= edge + GAP_BYTES:
            raise ValueError("its footer does not name all record batches, or names one twice")
        edge = block.offset + block.n_bytes
    if not edge <= start <= edge + GAP_BYTES:
        raise ValueError("its footer does not name all record batches")
    return found[0], found[1]


def stream_messages(source: Source, size: int) -> Iterator[Message]:
    """Messages of a file in the stream layout.

    Raises:
        ValueError: it does not end with its marker.
    """
    offset = 0
    while (message := message_at(source, offset, size)) is not None:
        yield message
        offset = message.end
    if offset + PREFIX_BYTES != size:
        raise ValueError(f"{size - offset - PREFIX_BYTES:,} bytes stand behind its end-of-stream marker")
