"""The formats of source files: what each must be able to do, and one line for each.

To add one, write its module with an object `FORMAT` of this protocol, and enter it in `ENTRIES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Protocol

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.compression import BY_SUFFIX, CODECS, PLAIN
from dsir_core.corpus.types import Batch, FileRange, ReadRequest, SourceFile


class RecordWriter(Protocol):
    """Writes records of one kind to a file of the workdir."""

    def write(self, records: Any) -> int:
        """Append the records of a batch; their uncompressed bytes."""
        ...


class Format(Protocol):
    """What is asked of a format. Its records (`Batch.records`) are known to itself alone, but have a length."""

    enterable: bool
    """Whether ranges of a plain file are byte ranges, and any of them can be read."""
    skips_blocks: bool
    """Whether blocks of a plain file that are not wanted need not be read."""

    def ranges(self, file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
        """Cut a file that is larger than a shard; each range with its stored bytes."""
        ...

    def read(self, file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
        """See `read.read_range`."""
        ...

    def columns(self, file: SourceFile, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """The values of some fields, a bounded number of records at a time: Arrow arrays, or lists.

        Raises:
            DamagedFileError: the file cannot be read whole, or a record is no record.
            RequestError: it has no such column.
        """
        ...

    def text_per_stored(self, file: SourceFile) -> float:
        """Bytes of text for each stored byte, as a guess before the file is read."""
        ...

    def stored_bytes(self, file: SourceFile, n_bytes: int, n_records: int) -> float:
        """Stored bytes behind so many bytes (`Batch.n_bytes`), and records, of a file's beginning."""
        ...

    def check_fields(self, file: SourceFile, settings: ReadSettings) -> None:
        """Look at the beginning of a file for the fields that are read; quick, and compiles nothing.

        Raises:
            RequestError: a text field is not there.
            DamagedFileError, OSError: the file cannot be read.
        """
        ...

    def suggest_fields(self, file: SourceFile, missing: str) -> list[str]:
        """Fields that may be meant by one that records lack; none where a missing field is a wrong request."""
        ...

    def kind_of(self, records: Any) -> str:
        """The format's name, or that and a digest behind a hyphen: only records of one kind share a file."""
        ...

    def extract_suffix(self) -> str:
        """Of the names of files in the workdir that hold chosen records."""
        ...

    def extract_writer(self, stream: IO[bytes], records: Any) -> AbstractContextManager[RecordWriter]:
        """Write records of the kind of these to a file of the workdir."""
        ...

    def part_suffix(self, compression: str) -> str:
        """Of the names of output parts."""
        ...

    def gather(self, extracts: Iterable[IO[bytes]], stream: IO[bytes], compression: str) -> None:
        """Join files of the workdir, of one kind, into one output part; at least one."""
        ...


@dataclass(frozen=True)
class Entry:
    """A format that is known."""

    title: str
    """As users call it."""
    suffixes: tuple[str, ...]
    """Of file names; the first is that of files that are written."""
    module: str
    """Holds the format's object; imported when a file of it is met."""
    attribute: str = "FORMAT"
    magic: tuple[bytes, ...] = ()
    """What a file may begin with; nothing for text, which begins as it likes."""
    packed: bool = False
    """Whether codecs may wrap it."""


ENTRIES: dict[str, Entry] = {
    "jsonl": Entry("JSON lines", (".jsonl", ".ndjson", ".json"), "dsir_core.corpus.formats.jsonl", packed=True),
    "parquet": Entry("Parquet", (".parquet", ".pq"), "dsir_core.corpus.formats.parquet", magic=(b"PAR1",)),
    "arrow": Entry(
        "Arrow IPC", (".arrow", ".feather"), "dsir_core.corpus.formats.arrow", magic=(b"ARROW1\0\0", b"\xff" * 4)
    ),
    "csv": Entry("CSV", (".csv",), "dsir_core.corpus.formats.csv", packed=True),
    "tsv": Entry("TSV", (".tsv",), "dsir_core.corpus.formats.csv", "TABS", packed=True),
}


def format_named(name: str) -> Format:
    """The format of a name in `ENTRIES`."""
    entry = ENTRIES[name]
    found: Format = getattr(importlib.import_module(entry.module), entry.attribute)
    return found


def format_of(file: SourceFile) -> Format:
    """The format of a source file."""
    return format_named(file.format)


def kind_of(name: str) -> tuple[str, str] | None:
    """Names of format and codec by a file's suffixes, or None."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = PLAIN
    if suffixes and suffixes[-1] in BY_SUFFIX:
        compression = BY_SUFFIX[suffixes.pop()]
    for format_, entry in ENTRIES.items():
        if suffixes and suffixes[-1] in entry.suffixes and (entry.packed or compression == PLAIN):
            return format_, compression
    return None


def known_formats() -> str:
    """All formats with their suffixes, to be shown."""
    packed = ", ".join(codec.suffixes[0] for codec in CODECS.values() if codec.name != PLAIN)
    titles = [
        f"{entry.title} ({', '.join(entry.suffixes)}{f'; also {packed}' if entry.packed else ''})"
        for entry in ENTRIES.values()
    ]
    return " and ".join([", ".join(titles[:-1]), titles[-1]]) if len(titles) > 1 else titles[0]
