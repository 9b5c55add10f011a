"""What formats of text have in common: codecs may wrap them, and records are written as the bytes they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.compression import CODECS, compressing
from dsir_core.corpus.formats.registry import ENTRIES, RecordWriter
from dsir_core.corpus.source import open_source, stored_ratio
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.runtime.cancellation import check_cancelled

EXTRACT_CODEC = "zstd"
EXTRACT_LEVEL = 1
CHUNK_BYTES = 2**20


class TextFormat:
    """A format of text; records are written as `lines_of` gives them.

    Args:
        name: in the registry.
    """

    enterable = False
    skips_blocks = False

    def __init__(self, name: str) -> None:
        self.name = name

    def ranges(self, file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
        """One range: a file that cannot be entered in the middle is read whole."""
        yield FileRange(file), file.size

    def text_per_stored(self, file: SourceFile) -> float:
        """See `registry.Format`."""
        return CODECS[file.compression].expands

    def stored_bytes(self, file: SourceFile, n_bytes: int, n_records: int) -> float:
        """See `registry.Format`."""
        return n_bytes * stored_ratio(file)

    def check_fields(self, file: SourceFile, settings: ReadSettings) -> None:
        """See `registry.Format`: only the file's first bytes are looked at."""
        with open_source(file):
            pass

    def suggest_fields(self, file: SourceFile, missing: str) -> list[str]:
        """None: a missing field is a wrong request."""
        return []

    def kind_of(self, records: Any) -> str:
        """See `registry.Format`."""
        return self.name

    def head_of(self, records: Any) -> bytes:
        """What each file of such records begins with."""
        return b""

    def lines_of(self, records: Any) -> bytes:
        """Records as they stand in a file, each with a line end."""
        return b"\n".join([*records, b""])

    def extract_suffix(self) -> str:
        """See `registry.Format`."""
        return self.part_suffix(EXTRACT_CODEC)

    @contextlib.contextmanager
    def extract_writer(self, stream: IO[bytes], records: Any) -> Iterator[RecordWriter]:
        """See `registry.Format`."""
        with compressing(stream, EXTRACT_CODEC, EXTRACT_LEVEL) as sink:
            sink.write(self.head_of(records))
            yield _LineWriter(self, sink)

    def part_suffix(self, compression: str) -> str:
        """See `registry.Format`."""
        return ENTRIES[self.name].suffixes[0] + CODECS[compression].suffixes[0]

    def gather(self, extracts: Iterable[IO[bytes]], stream: IO[bytes], compression: str) -> None:
        """See `registry.Format`."""
        # One frame or member a part: some widely used readers stop silently after the first of several.
        with compressing(stream, compression) as sink:
            for index, extract in enumerate(extracts):
                with CODECS[EXTRACT_CODEC].reader(extract) as lines:
                    if index:
                        sink.write(self.skip_head(lines))
                    while chunk := lines.read(CHUNK_BYTES):
                        check_cancelled()
                        sink.write(chunk)

    def skip_head(self, lines: Any) -> bytes:
        """Pass over what each file of the workdir begins with; what was read behind it."""
        return b""


class _LineWriter:
    def __init__(self, format_: TextFormat, sink: IO[bytes]) -> None:
        self._format, self._sink = format_, sink

    def write(self, records: Any) -> int:
        lines = self._format.lines_of(records)
        self._sink.write(lines)
        return len(lines)
