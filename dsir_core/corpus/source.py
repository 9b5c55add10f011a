"""Opening source files: storage errors stay what they are, damage is named, decompression streams."""

from __future__ import annotations

import bz2
import contextlib
import functools
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from fsspec.archive import AbstractArchiveFileSystem
from isal import igzip, isal_zlib

from dsir_core.corpus.types import Compression, SourceFile
from dsir_core.errors import DamagedFileError
from dsir_core.storage.connect import connect
from dsir_core.storage.ranges import RangeReader
from dsir_core.storage.retries import with_retries
from dsir_core.urls import is_local, without_credentials

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
SUFFIX = {"gzip": ".jsonl.gz", "zstd": ".jsonl.zst", "bz2": ".jsonl.bz2", "xz": ".jsonl.xz", "parquet": ".parquet"}
VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "CRC", "created")
ZSTD_SKIPPABLE = tuple(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16))
ZSTD_WINDOW_LOG = 31
PACKED_BYTES = 2**18
HEAD_BYTES = 8

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

    def __init__(self, file: Any, listed: SourceFile) -> None:
        self._file = file
        self._listed = listed
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
            data = bytes(self._file.read(size))
        except Exception as error:
            self.error = error
            raise
        if not data and size and (position := self.tell()) < self._listed.size:
            # Storage that stops early, or a file cut short while it is read, would look like its end.
            self.error = damaged(
                self._listed, f"ends after {position:,} of {self._listed.size:,} bytes: changed while it was read"
            )
            raise self.error
        return data

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


def damaged(file: SourceFile, reason: str) -> DamagedFileError:
    """The error that names a file, without credentials."""
    return DamagedFileError(without_credentials(file.url), reason)


@contextlib.contextmanager
def open_source(file: SourceFile, ahead_until: int = 0) -> Iterator[Source]:
    """Open a stored file and look at its beginning.

    Args:
        ahead_until: fetch a remote file ahead of its reader, up to this position; 0 to fetch just what is read.

    Raises:
        DamagedFileError: it is not as it was listed, before or after it was read, or its content is not what its name
            says.
        OSError: of the storage.
    """
    filesystem, path = connect(file.url)
    with _opened(filesystem, path, file.size) as opened:
        _check_as_listed(file, filesystem, path)
        source = Source(opened, file)
        _check_magic(file, _head(opened, file.size))
        if isinstance(opened, RangeReader):
            opened.fetch_ahead(ahead_until)
        yield source
        # It is read in many pieces: are they all of one content?
        _check_as_listed(file, filesystem, path)


def _check_as_listed(file: SourceFile, filesystem: Any, path: str) -> None:
    """Compare a file with what was listed.

    Raises:
        DamagedFileError: the file has changed since it was listed.
    """
    if is_local(filesystem):
        found = os.stat(path)
        size, version, what = found.st_size, str(found.st_mtime_ns), "time of modification"
    else:
        filesystem.invalidate_cache(path)  # or a listing from before a change would say that there is none
        info = with_retries(filesystem.info, path)
        size, version, what = int(info["size"]), version_of(info), "ETag or time of modification"
    if size != file.size:
        raise damaged(file, f"changed since it was planned ({file.size:,} bytes then, {size:,} now)")
    if version != file.version:
        raise damaged(file, f"changed since it was planned (its {what} did)")


def _opened(filesystem: Any, path: str, size: int) -> Any:
    if is_local(filesystem) or isinstance(filesystem, AbstractArchiveFileSystem):
        # A range of a packed file would be unpacked from the beginning, each time.
        return filesystem.open(path, "rb")
    return RangeReader(filesystem, path, size)


def _head(opened: Any, size: int) -> bytes:
    head = bytes(opened.read(min(size, HEAD_BYTES)))
    opened.seek(0)
    return head


def version_of(info: dict[str, Any]) -> str:
    """What of a remote file's entry changes when its content does; empty where nothing is told."""
    return next((str(info[key]).strip('"') for key in VERSIONS if info.get(key)), "")


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
            raise damaged(
                self._file,
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


def _check_magic(file: SourceFile, head: bytes) -> None:
    expected = "parquet" if file.format == "parquet" else file.compression
    found = _looks_like(head)
    if expected == "none":
        if found:
            raise damaged(file, f"is named as plain JSON lines, but looks like {found}: {_way_out(found)}")
        return
    if not head:
        raise damaged(file, f"is empty; a {expected} file is never: it was cut short")
    if not (head.startswith(MAGIC[expected]) or (expected == "zstd" and head.startswith(ZSTD_SKIPPABLE))):
        raise damaged(file, f"is named as {expected}, but looks like {found or 'something else'}: {_way_out(found)}")


def _looks_like(head: bytes) -> str | None:
    # Two ASCII characters of UTF-16 that has no byte order mark.
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "UTF-16"
    return next((name for name, magic in MAGIC.items() if head.startswith(magic)), None)


def _way_out(found: str | None) -> str:
    if found in SUFFIX:
        return f"rename it to end in {SUFFIX[found]}"
    if found == "zip":
        return "unzip it"
    return "convert it to UTF-8" if found else "rename it to what it is"
