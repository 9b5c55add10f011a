"""Codecs of source files and output parts: one table of names, suffixes, first bytes, readers and writers.

fsspec has a registry of codecs, too, which is not used: see docs/design-notes.md.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, cast

from isal import igzip, isal_zlib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLAIN = "none"
"""Name of the codec of files that are not compressed."""

ZSTD_WINDOW_LOG = 31
PACKED_BYTES = 2**18

DECODE_ERRORS: tuple[Any, ...] = (
    EOFError,
    OSError,
    ValueError,
    zlib.error,
    isal_zlib.error,
    lzma.LZMAError,
    zstd.ZstdError,
)
"""What readers raise for damaged content."""


@dataclass(frozen=True)
class Codec:
    """How the content of a file is packed."""

    name: str
    suffixes: tuple[str, ...]
    """Of file names, behind that of the format; the first is that of files that are written."""
    magic: tuple[bytes, ...]
    """What a file may begin with."""
    expands: float
    """Bytes of content for each stored byte, as a guess before a file is read."""
    reader: Callable[[Any], AbstractContextManager[Any]]
    """Decompresses a stored stream: all members or frames of it, one behind the other, at most `n` bytes a read."""
    writer: Callable[[IO[bytes], int | None], AbstractContextManager[IO[bytes]]] | None = None
    """Compresses into a stream, as one member or frame, at a level or the codec's usual one; None: is only read."""


class Streams:
    """bz2 or xz streams one behind the other.

    The standard library's file objects take a stream that does not begin as it should for the end of the file.
    """

    def __init__(self, source: Any, begin: Callable[[], Any], padding: bytes = b"") -> None:
        self._source, self._begin, self._padding = source, begin, padding
        self._stream = begin()
        self._fresh = False
        """Whether the stream has begun only to see if there is another one."""

    def read(self, n: int) -> bytes:
        """At most n bytes; empty at the end of the last stream."""
        while True:
            packed = self._source.read(PACKED_BYTES) if self._stream.needs_input else b""
            if not packed and self._stream.needs_input:
                if self._fresh:
                    return b""
                raise EOFError("ends before its end-of-stream marker")
            if self._fresh and self._padding:
                packed = packed.lstrip(self._padding)
                if not packed:
                    continue
            self._fresh = self._fresh and not packed
            data = bytes(self._stream.decompress(packed, n))
            if self._stream.eof:
                self._next(self._stream.unused_data)
            if data:
                return data

    def _next(self, rest: bytes) -> None:
        # What was read ahead is read again.
        self._source.seek(-len(rest), 1)
        self._stream, self._fresh = self._begin(), True


def _read_gzip(source: Any) -> AbstractContextManager[Any]:
    return igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]


def _read_zstd(source: Any) -> AbstractContextManager[Any]:
    return zstd.ZstdFile(source, options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})


def _read_bz2(source: Any) -> AbstractContextManager[Any]:
    return contextlib.nullcontext(Streams(source, bz2.BZ2Decompressor))


def _read_xz(source: Any) -> AbstractContextManager[Any]:
    begin = functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)
    return contextlib.nullcontext(Streams(source, begin, padding=b"\0"))


def _write_gzip(stream: IO[bytes], level: int | None) -> AbstractContextManager[IO[bytes]]:
    return cast(
        AbstractContextManager[IO[bytes]], gzip.GzipFile("", "wb", 6 if level is None else level, stream, mtime=0)
    )


def _write_zstd(stream: IO[bytes], level: int | None) -> AbstractContextManager[IO[bytes]]:
    options = {
        zstd.CompressionParameter.compression_level: 3 if level is None else level,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return cast(AbstractContextManager[IO[bytes]], zstd.ZstdFile(cast(Any, stream), "wb", options=cast(Any, options)))


def _write_plain(stream: IO[bytes], level: int | None) -> AbstractContextManager[IO[bytes]]:
    return contextlib.nullcontext(stream)


ZSTD_MAGIC = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16)))
"""A frame, or a frame to skip."""

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(PLAIN, ("",), (), 1.0, contextlib.nullcontext, _write_plain),
        Codec("gzip", (".gz",), (b"\x1f\x8b",), 3.0, _read_gzip, _write_gzip),
        Codec("zstd", (".zst", ".zstd"), ZSTD_MAGIC, 3.5, _read_zstd, _write_zstd),
        Codec("bz2", (".bz2",), (b"BZh",), 4.0, _read_bz2),
        Codec("xz", (".xz",), (b"\xfd7zXZ\x00",), 4.0, _read_xz),
    )
}

BY_SUFFIX = {suffix: codec.name for codec in CODECS.values() for suffix in codec.suffixes if suffix}


def compressing(stream: IO[bytes], compression: str, level: int | None = None) -> AbstractContextManager[IO[bytes]]:
    """A stream that compresses what is written to it into another one.

    Raises:
        ValueError: files of this codec are only read.
    """
    writer = CODECS[compression].writer
    if writer is None:
        raise ValueError(f"{compression} files are not written")
    return writer(stream, level)
