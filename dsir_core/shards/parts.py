"""Output files: chosen records gathered from shards' extracts into parts of a useful size.

Records stay in the format of their source file. A corpus of several formats gives several kinds of parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from dsir_core.checkpoints.store import Store
from dsir_core.corpus.formats.registry import Format, RecordWriter, format_named
from dsir_core.digests import stream_digest

EXTRACT_BYTES = 256 * 2**20
"""Uncompressed bytes after which an extract begins a new file, so that parts can be cut there."""

PART_BYTES = 256 * 2**20
"""Uncompressed bytes after which a part ends."""


@dataclass(frozen=True, slots=True)
class ExtractFile:
    """A file of chosen records in the store, which can be read as a source file."""

    name: str
    kind: str
    """See `Format.kind_of`: only files of one kind share a part."""
    documents: int
    n_bytes: int
    """Uncompressed."""
    sha256: str
    """Of the file as stored."""

    @property
    def format(self) -> Format:
        """Of its records."""
        return format_named(self.kind.partition("-")[0])

    def is_whole(self, store: Store) -> bool:
        """Whether the file is there, as it was written."""
        if not store.exists(self.name):
            return False
        with store.open(self.name) as stream:
            return stream_digest(stream) == self.sha256


class ExtractWriter:
    """Writes chosen records, in order, to numbered files that begin anew at a change of kind or at a size."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.files: list[ExtractFile] = []
        self._open: ExitStack | None = None
        self._writer: RecordWriter
        self._file_name = ""
        self._kind = ""
        self._documents = 0
        self._bytes = 0

    def __enter__(self) -> ExtractWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._finish()
        elif self._open is not None:
            self._open.__exit__(kind, error, trace)

    def add(self, format_: Format, records: Any) -> None:
        """Append the records of a batch of a format."""
        kind = format_.kind_of(records)
        if self._open is not None and (kind != self._kind or self._bytes >= EXTRACT_BYTES):
            self._finish()
        if self._open is None:
            self._begin(kind, format_, records)
        self._documents += len(records)
        self._bytes += self._writer.write(records)

    def _begin(self, kind: str, format_: Format, records: Any) -> None:
        self._open, self._kind, self._documents, self._bytes = ExitStack(), kind, 0, 0
        self._file_name = f"{self._name}-{len(self.files):03d}{format_.extract_suffix()}"
        stream = self._open.enter_context(self._store.writer(self._file_name, durable=False))
        self._writer = self._open.enter_context(format_.extract_writer(stream, records))

    def _finish(self) -> None:
        if self._open is None:
            return
        self._open.close()
        self._open = None
        with self._store.open(self._file_name) as stream:
            sha256 = stream_digest(stream)
        self.files.append(ExtractFile(self._file_name, self._kind, self._documents, self._bytes, sha256))


@dataclass(frozen=True)
class PartTask:
    """One output part to be gathered from extracts."""

    workdir: str
    output: str
    name: str
    compression: str
    extracts: tuple[ExtractFile, ...]


@dataclass(frozen=True)
class PartResult:
    """A finished output part."""

    name: str
    documents: int
    n_bytes: int
    """As stored."""


def plan_parts(extracts: Sequence[ExtractFile], compression: str) -> list[tuple[str, tuple[ExtractFile, ...]]]:
    """Cut the extracts, in order, into named parts: one kind each, ended by the first that reaches `PART_BYTES`."""
    groups: list[list[ExtractFile]] = []
    full = True
    for extract in extracts:
        if full or groups[-1][0].kind != extract.kind:
            groups.append([])
        groups[-1].append(extract)
        full = sum(file.n_bytes for file in groups[-1]) >= PART_BYTES
    return [
        (f"part-{index:05d}{group[0].format.part_suffix(compression)}", tuple(group))
        for index, group in enumerate(groups)
    ]


def write_part(task: PartTask) -> PartResult:
    """Gather extracts into one output part; it appears under its name when it is complete."""
    source, target = Store(task.workdir), Store(task.output)
    with target.writer(task.name) as stream:
        task.extracts[0].format.gather(_opened(source, task.extracts), stream, task.compression)
        stream.flush()
        n_bytes = stream.seek(0, 2)
    return PartResult(task.name, sum(file.documents for file in task.extracts), n_bytes)


def _opened(store: Store, extracts: Sequence[ExtractFile]) -> Iterator[IO[bytes]]:
    for extract in extracts:
        with store.open(extract.name) as stream:
            yield stream
