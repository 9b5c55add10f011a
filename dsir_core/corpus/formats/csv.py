"""CSV and TSV: a header and quoted fields, which may hold line ends; a record's position is its number.

A file is read in order from its beginning: whether a line end belongs to a quoted field follows from all before it.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.columns import FIELD_SETTINGS, no_column
from dsir_core.corpus.formats.csv_blocks import CHUNK_BYTES, byte_array, record_blocks
from dsir_core.corpus.formats.json_records import JOINT, TOO_LARGE, BadRecordError
from dsir_core.corpus.formats.tables import wanted_positions
from dsir_core.corpus.formats.text import TextFormat
from dsir_core.corpus.source import ByteStream, damaged, decompressed, open_source
from dsir_core.corpus.types import BadRecord, Batch, FileRange, ReadRequest, SourceFile
from dsir_core.errors import RequestError
from dsir_core.kernels.csv_records import START, record_ends
from dsir_core.urls import without_credentials

MAX_HEADER_BYTES = 2**24
MAX_ROW_BYTES = 2**24
"""Of a table of scores."""

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

# The standard library's own limit holds for the whole process; here records are bounded before they are parsed.
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class CsvRecords:
    """Records as they stand in a file, without their line feeds."""

    header: bytes
    records: list[bytes]

    def __len__(self) -> int:
        return len(self.records)


class Csv(TextFormat):
    """See `registry.Format`; records are `CsvRecords`."""

    def __init__(self, name: str, delimiter: str) -> None:
        super().__init__(name)
        self._delimiter = delimiter

    def read(self, file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
        """See `read.read_range`."""
        file = file_range.file
        with open_source(file, file.size) as source, decompressed(file, source) as stream:
            table = _Table(file, stream, self._delimiter, settings.max_record_bytes)
            reader = _DocumentReader(table, settings, wanted)
            for first, records in table.blocks():
                yield reader.batch(first, records)

    def check_fields(self, file: SourceFile, settings: ReadSettings) -> None:
        """See `registry.Format`."""
        with open_source(file) as source, decompressed(file, source) as stream:
            table = _Table(file, stream, self._delimiter, settings.max_record_bytes)
            for name in settings.text_field:
                table.place(name, "--text-field")

    def columns(self, file: SourceFile, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """See `registry.Format`."""
        with open_source(file, file.size) as source, decompressed(file, source) as stream:
            table = _Table(file, stream, self._delimiter, MAX_ROW_BYTES)
            places = [table.place(name, FIELD_SETTINGS) for name in names]
            for first, records in table.blocks():
                rows = []
                for row, record in enumerate(records, first):
                    if record is None:
                        raise RequestError(f"{file.path}: a row of more than {MAX_ROW_BYTES:,} bytes at {row}")
                    try:
                        rows.append(table.fields(record))
                    except BadRecordError as error:
                        raise damaged(file, f"no record at {row}: {error}") from None
                yield tuple([_value(fields[place]) for fields in rows] for place in places)

    def kind_of(self, records: CsvRecords) -> str:
        """See `registry.Format`."""
        return f"{self.name}-{hashlib.sha256(records.header).hexdigest()[:16]}"

    def head_of(self, records: CsvRecords) -> bytes:
        """The header."""
        return records.header + b"\n"

    def lines_of(self, records: CsvRecords) -> bytes:
        """See `TextFormat`."""
        return super().lines_of(records.records)

    def skip_head(self, lines: Any) -> bytes:
        """See `TextFormat`."""
        state, ends = START, np.empty(CHUNK_BYTES, np.int64)
        while chunk := bytes(lines.read(CHUNK_BYTES)):
            n, state = record_ends(byte_array(chunk), ord(self._delimiter), state, ends)
            if n:
                return chunk[ends[0] :]
        return b""


FORMAT = Csv("csv", ",")
TABS = Csv("tsv", "\t")


class _Table:
    """The header and the records of a stream.

    Args:
        limit: bytes of a record that is held.

    Raises:
        DamagedFileError: there is no header.
    """

    def __init__(self, file: SourceFile, stream: ByteStream, delimiter: str, limit: int) -> None:
        self.file, self._delimiter = file, delimiter
        self._blocks = record_blocks(file, stream, ord(delimiter), max(limit, MAX_HEADER_BYTES))
        self._limit = limit
        first = next(self._blocks, [])
        if not first or first[0] is None:
            raise damaged(file, "has no header: is it cut short?")
        self.header, self._rest = first[0], first[1:]
        self.names: list[str] = []
        try:
            self.names = self._parsed(self.header)
        except BadRecordError as error:
            raise damaged(file, f"its header cannot be read: {error}") from None

    def place(self, name: str, setting: str) -> int:
        """Which of a record's fields a column is.

        Raises:
            RequestError: there is none, or several, of that name.
        """
        if name not in self.names:
            raise no_column(self.file, self.names, name, setting)
        if (n := self.names.count(name)) > 1:
            raise RequestError(f"{without_credentials(self.file.url)}: column {name!r} occurs {n} times")
        return self.names.index(name)

    def blocks(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """Records, and the position of the first of them; None for those that are too large."""
        row, block = 0, self._rest
        while True:
            yield row, [None if record is None or len(record) > self._limit else record for record in block]
            row += len(block)
            if (following := next(self._blocks, None)) is None:
                return
            block = following

    def fields(self, record: bytes) -> list[str]:
        """The fields of a record, as many as the header has; bytes that are no UTF-8 are half surrogates.

        Raises:
            BadRecordError: it is no record.
        """
        fields = self._parsed(record)
        if len(fields) != len(self.names):
            raise BadRecordError(f"wrong number of fields: {len(fields):,}, the header has {len(self.names):,}")
        return fields

    def _parsed(self, record: bytes) -> list[str]:
        text = record.decode("utf-8", "surrogateescape")
        if '"' not in text and "\r" not in text:
            return text.split(self._delimiter)
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise BadRecordError(f"invalid CSV: {error}") from None


class _DocumentReader:
    """Documents of blocks of records."""

    def __init__(self, table: _Table, settings: ReadSettings, wanted: ReadRequest) -> None:
        self._table, self._settings, self._wanted = table, settings, wanted
        self._texts = [(name, table.place(name, "--text-field")) for name in settings.text_field]
        self._fields = [table.place(name, FIELD_SETTINGS) for name in wanted.fields]
        self._condition = Condition.of(settings.include, settings.exclude)
        fields = self._condition.fields if self._condition else ()
        self._condition_places = [table.place(name, FIELD_SETTINGS) for name in fields]

    def batch(self, first: int, records: Sequence[bytes | None]) -> Batch:
        """The documents and bad records of a block, whose first record has this position."""
        positions = np.arange(first, first + len(records), dtype=np.int64)
        mask = wanted_positions(positions, self._wanted)
        rows = range(len(records)) if mask is None else np.flatnonzero(mask).tolist()
        taken: list[int] = []
        texts: list[bytes] = []
        found = Batch(positions, np.empty(0, np.uint8), np.zeros(1, np.int64))
        for row in rows:
            record = records[row]
            found.n_bytes += len(record) + 1 if record is not None else self._settings.max_record_bytes
            try:
                fields = self._fields_of(record)
                if not self._is_included(fields):
                    found.excluded += 1
                    continue
                texts.append(JOINT.join(_text(name, fields[place]) for name, place in self._texts).encode())
            except BadRecordError as error:
                found.bad.append(BadRecord(self._table.file.path, first + row, str(error)[:200]))
                continue
            taken.append(row)
            if self._fields:
                found.fields.append([_value(fields[place]) for place in self._fields])
        found.positions = positions[taken]
        found.text_data = byte_array(b"".join(texts))
        found.text_offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=found.text_offsets[1:])
        if self._wanted.keep_records:
            kept = [record for row in taken if (record := records[row]) is not None]
            found.records = CsvRecords(self._table.header, kept)
        return found

    def _fields_of(self, record: bytes | None) -> list[str]:
        if record is None:
            raise BadRecordError(f"{TOO_LARGE}: over {self._settings.max_record_bytes:,} bytes")
        return self._table.fields(record)

    def _is_included(self, fields: list[str]) -> bool:
        if self._condition is None:
            return True
        return self._condition.holds([_number_or_text(fields[place]) for place in self._condition_places])


def _text(name: str, field: str) -> str:
    try:
        field.encode()
    except UnicodeEncodeError:
        raise BadRecordError(f"invalid UTF-8: in {name}") from None
    return field


def _value(field: str) -> str | None:
    """A field's text; None where it is empty, or no UTF-8."""
    return None if not field or any("\ud800" <= char <= "\udfff" for char in field) else field


def _number_or_text(field: str) -> float | str | None:
    """What a condition sees: what is written as a number is one."""
    if not NUMBER.fullmatch(field):
        return _value(field)
    return float(field) if len(field) > 15 or not field.lstrip("-").isdigit() else int(field)
