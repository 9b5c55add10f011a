"""Streams of CSV cut into records; line ends inside quoted fields do not end one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt

from dsir_core.corpus.formats.line_blocks import BOM
from dsir_core.corpus.source import ByteStream, damaged
from dsir_core.corpus.types import SourceFile
from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.csv_records import QUOTED, START, record_ends

CHUNK_BYTES = 2**20
"""Read at once."""


def byte_array(data: bytes) -> npt.NDArray[np.uint8]:
    """The bytes as a read-only uint8[n], without a copy."""
    return cast(npt.NDArray[np.uint8], read_only(np.frombuffer(data, np.uint8), np.uint8))


def record_blocks(file: SourceFile, stream: ByteStream, delimiter: int, limit: int) -> Iterator[list[bytes | None]]:
    """Records without their line feed, some at a time; None for those of more than `limit` bytes. Blank lines are none.

    Memory is that of a few blocks, or of the largest record up to the limit.

    Raises:
        DamagedFileError: the stream ends inside a quoted field.
    """
    state, ends = START, np.empty(CHUNK_BYTES, np.int64)
    waiting: list[bytes] = []
    n_waiting = 0
    data = _without_bom(stream)
    while data:
        n, state = record_ends(byte_array(data), delimiter, state, ends)
        block: list[bytes | None] = []
        start = 0
        for end in ends[:n].tolist():
            record = b"".join([*waiting, data[start : end - 1]]) if waiting else data[start : end - 1]
            if n_waiting > limit or len(record) > limit:
                block.append(None)
            elif record not in (b"", b"\r"):
                block.append(record)
            waiting, n_waiting, start = [], 0, end
        if block:
            yield block
        n_waiting += len(data) - start
        if n_waiting <= limit:
            waiting.append(data[start:])
        else:
            waiting = []
        data = stream.read(CHUNK_BYTES)
    if state == QUOTED:
        raise damaged(file, "ends inside a quoted field: it is cut short, or has a quote too many")
    last = b"".join(waiting)
    if n_waiting > limit:
        yield [None]
    elif last not in (b"", b"\r"):
        yield [last]


def _without_bom(stream: ByteStream) -> bytes:
    """The first bytes of a stream, without a byte order mark."""
    data = b""
    while len(data) < len(BOM) and (more := stream.read(CHUNK_BYTES - len(data))):
        data += more
    rest = data.removeprefix(BOM)
    return rest or stream.read(CHUNK_BYTES)
