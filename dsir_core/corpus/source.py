"""Opening source files: storage errors stay what they are, damage is named, decompression streams."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from fsspec.archive import AbstractArchiveFileSystem

from dsir_core.corpus.compression import CODECS, DECODE_ERRORS, PLAIN
from dsir_core.corpus.formats.registry import ENTRIES
from dsir_core.corpus.types import SourceFile
from dsir_core.errors import DamagedFileError
from dsir_core.storage.connect import connect
from dsir_core.storage.ranges import RangeReader
from dsir_core.storage.retries import with_retries
from dsir_core.urls import is_local, without_credentials

OTHERS: dict[str, bytes] = {
    "Feather version 1": b"FEA1",
    "zip": b"PK\x03\x04",
    "UTF-16": b"\xff\xfe",
    "big-endian UTF-16": b"\xfe\xff",
}
"""First bytes of what is not read, and is named."""

VERSIONS = (
    *("ETag", "etag", "Content-MD5", "mtime", "LastModified", "last_modified", "Last-Modified", "updated"),
    *("blob_id", "lfs", "sha", "modificationTime", "modify", "CRC", "created"),
)
"""Names under which filesystems report a version, the best first."""

UNVERSIONED = "unversioned-"
"""Begins the version of a file whose storage reports none; what follows is of one listing."""

HEAD_BYTES = 8
RATIO_BYTES = 2 * 2**20
"""Stored bytes at a file's beginning whose compression is taken for that of its whole."""

RATIO_STEP_BYTES = 2**14


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
    if version != file.version and not file.version.startswith(UNVERSIONED):
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
    if file.compression == PLAIN:
        yield source
        return
    with CODECS[file.compression].reader(source) as stream:
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


def read_to_the_end(stream: ByteStream) -> None:
    """Read what is left: a checksum stands at the end, and only a stream read to its end is known to be whole."""
    while stream.read(2**20):
        pass


def stored_ratio(file: SourceFile) -> float:
    """Stored bytes for each decompressed byte, by the file's beginning.

    Raises:
        DamagedFileError: nothing of it can be decompressed.
    """
    if file.compression == PLAIN:
        return 1.0
    n_stored = min(file.size, RATIO_BYTES)
    with open_source(file) as source:
        head = io.BytesIO(source.read(n_stored))
    beginning = replace(file, size=n_stored)
    n_bytes = 0
    try:
        with decompressed(beginning, Source(head, beginning)) as stream:
            while data := stream.read(RATIO_STEP_BYTES):
                n_bytes += len(data)
    except DamagedFileError:
        # A beginning ends in the middle; what came before counts.
        if n_stored == file.size or not n_bytes:
            raise
    return n_stored / max(1, n_bytes)


def _check_magic(file: SourceFile, head: bytes) -> None:
    entry = ENTRIES[file.format]
    is_packed = file.compression != PLAIN
    named = file.compression if is_packed else entry.title
    expected = CODECS[file.compression].magic if is_packed else entry.magic
    found = _looks_like(head)
    if not expected:
        if found:
            raise damaged(file, f"is named as plain {named}, but looks like {found}: {_way_out(file, found)}")
        return
    if not head:
        raise damaged(file, f"is empty; a file of {named} is never: it was cut short")
    if not head.startswith(expected):
        way_out = _way_out(file, found)
        raise damaged(file, f"is named as {named}, but looks like {found or 'something else'}: {way_out}")


def _looks_like(head: bytes) -> str | None:
    # Two ASCII characters of UTF-16 that has no byte order mark.
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "UTF-16"
    kinds = [(codec.name, codec.magic) for codec in CODECS.values()]
    kinds += [(entry.title, entry.magic) for entry in ENTRIES.values()]
    kinds += [(name, (magic,)) for name, magic in OTHERS.items()]
    return next((name for name, magic in kinds if magic and head.startswith(magic)), None)


def _way_out(file: SourceFile, found: str | None) -> str:
    if found == "zip":
        return "unzip it"
    if found == "Feather version 1":
        return "write it anew as version 2"
    if found in OTHERS:
        return "convert it to UTF-8"
    if found in CODECS:
        packed = next(entry for entry in (ENTRIES[file.format], *ENTRIES.values()) if entry.packed)
        return f"rename it to end in {packed.suffixes[0]}{CODECS[found].suffixes[0]}"
    suffixes = [entry.suffixes[0] for entry in ENTRIES.values() if entry.title == found]
    return f"rename it to end in {suffixes[0]}" if suffixes else "rename it to what it is"
