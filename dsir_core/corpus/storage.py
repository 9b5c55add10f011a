"""Opening source files: storage errors stay what they are, damage is named, decompression streams."""

from __future__ import annotations

import bz2
import contextlib
import functools
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import fsspec
from isal import igzip, isal_zlib

from dsir_core.corpus.types import Compression, SourceFile
from dsir_core.errors import DamagedFileError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC: dict[str, bytes] = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "parquet": b"PAR1",
    "zip": b"PK\x03\x04",
    "UTF-16": b"\xff\xfe",
    "big-endian UTF-16": b"\xfe\xff",
}
ZSTD_SKIPPABLE = tuple(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16))
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


class ByteStream(Protocol):
    """What the readers need of a file."""

    def read(self, n: int) -> bytes:
        """At most n bytes; empty at the end."""
        ...

    def seek(self, position: int) -> int:
        """Go to a byte offset."""
        ...


class Source(io.RawIOBase):
    """A stored file that remembers the storage's own errors, so that they are not mistaken for damage."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: Exception | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """See io.RawIOBase."""
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            self.error = error
            raise

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """See io.RawIOBase."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """See io.RawIOBase."""
        return int(self._file.tell())


@contextlib.contextmanager
def open_source(file: SourceFile) -> Iterator[Source]:
    """Open a stored file and look at its beginning.

    Raises:
        DamagedFileError: its size is not the listed one, or its content is not what its name says.
        OSError: of the storage.
    """
    with fsspec.open(file.url, "rb") as opened:
        source = Source(opened)
        size = source.seek(0, 2)
        if size != file.size:
            raise DamagedFileError(file.url, f"changed since it was planned ({file.size:,} bytes then, {size:,} now)")
        source.seek(0)
        _check_magic(file, source.read(8))
        source.seek(0)
        yield source


@contextlib.contextmanager
def decompressed(file: SourceFile, source: Source) -> Iterator[ByteStream]:
    """The file's content as a stream; all members or frames of it, one behind the other."""
    if file.compression == "none":
        yield source
        return
    with _decoder(file.compression, source) as stream:
        yield _Checked(file, source, stream)


class _Checked:
    """A decompressing stream whose failures are damage, with the position."""

    def __init__(self, file: SourceFile, source: Source, stream: Any) -> None:
        self._file, self._source, self._stream = file, source, stream
        self._position = 0

    def read(self, n: int) -> bytes:
        try:
            data = bytes(self._stream.read(n))
        except DECODE_ERRORS as error:
            if self._source.error is not None:
                raise self._source.error from None
            raise DamagedFileError(
                self._file.url,
                f"truncated or corrupt {self._file.compression}, after {self._position:,} bytes of content: {error}",
            ) from error
        self._position += len(data)
        return data

    def seek(self, position: int) -> int:
        raise io.UnsupportedOperation("compressed files are read from the beginning")


def _decoder(compression: Compression, source: Source) -> Any:
    if compression == "gzip":
        return igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
    if compression == "zstd":
        return zstd.ZstdFile(source, options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})
    if compression == "bz2":
        return contextlib.nullcontext(_Streams(source, bz2.BZ2Decompressor))
    begin = functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)
    return contextlib.nullcontext(_Streams(source, begin, padding=b"\0"))


class _Streams:
    """bz2 or xz streams one behind the other.

    The standard library's file objects take a stream that does not begin as it should for the end of the file.
    """

    def __init__(self, source: Source, begin: Callable[[], Any], padding: bytes = b"") -> None:
        self._source, self._begin, self._padding = source, begin, padding
        self._stream = begin()
        self._fresh = False
        """Whether the stream has begun only to see if there is another one."""

    def read(self, n: int) -> bytes:
        """At most n bytes; empty at the end of the last stream."""
        while True:
            packed = self._source.read(PACKED_BYTES) if self._stream.needs_input else b""
            if self._fresh:
                packed = packed.lstrip(self._padding) if self._padding else packed
                if not packed and self._source.tell() >= self._source.seek(0, 2):
                    return b""
            elif not packed and self._stream.needs_input:
                raise EOFError("ends before its end-of-stream marker")
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


def _check_magic(file: SourceFile, head: bytes) -> None:
    expected = "parquet" if file.format == "parquet" else file.compression
    if expected != "none":
        good = head.startswith(MAGIC[expected]) or (expected == "zstd" and head.startswith(ZSTD_SKIPPABLE))
        if good:
            return
        found = _looks_like(head)
        if not head:
            raise DamagedFileError(file.url, f"is empty; a {expected} file is never: it was cut short")
        raise DamagedFileError(file.url, f"is named as {expected}, but is {found or 'something else'}: rename it")
    found = _looks_like(head)
    if found:
        raise DamagedFileError(file.url, f"is named as plain JSON lines, but looks like {found}: rename or convert it")


def _looks_like(head: bytes) -> str | None:
    return next((name for name, magic in MAGIC.items() if head.startswith(magic)), None)
