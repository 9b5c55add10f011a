"""Arrow IPC (Feather version 2), in its file layout or its stream layout: record batches, each held whole.

Arrow has no checksums: a changed byte of a text is another text. What is cut short, or contradicts itself, is damage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.arrow_messages import (
    BATCH,
    DICTIONARY,
    FIRST,
    MAGIC,
    MAX_BATCH_BYTES,
    SCHEMA,
    Message,
    blocks,
    message_at,
    read_at,
    stream_messages,
)
from dsir_core.corpus.formats.columns import column_of, type_of
from dsir_core.corpus.formats.tables import (
    TableFormat,
    TableSink,
    check_columns,
    damage,
    documents_of,
    filtered,
    included_rows,
    ranges_of,
    shared_out,
    wanted_rows,
)
from dsir_core.corpus.source import Source, damaged, open_source
from dsir_core.corpus.types import WHOLE, Batch, FileRange, ReadRequest, SourceFile
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.runtime.cancellation import check_cancelled

DOCUMENT_BYTES = 4 * 2**20
DOCUMENT_ROWS = 16_384
"""Of a batch of documents."""


class ArrowFile(TableFormat):
    """See `registry.Format`. Record batches are the ranges; a file in the stream layout is read whole."""

    def ranges(self, file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
        """Ranges of record batches, by the footer."""
        sizes: list[int] = []
        with contextlib.suppress(DamagedFileError), open_source(file) as source, damage(file, source):
            # A damaged file is left whole, for the shard that reads it to say when all others are done.
            if _has_footer(source):
                sizes = [block.n_bytes for block in blocks(source, file.size)[1]]
        yield from ranges_of(file, shared_out(file.size, sizes), shard_bytes)

    def read(self, file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
        """See `read.read_range`."""
        file = file_range.file
        condition = Condition.of(settings.include, settings.exclude)
        is_whole = wanted.positions is None and wanted.keep_block is None and file_range == FileRange(file)
        with open_source(file, file.size if is_whole else 0) as source:
            opened = _Opened(file, source)
            check_columns(file, opened.schema, settings, wanted)
            names = None
            if not wanted.keep_records:
                names = [*settings.text_field, *wanted.fields, *(condition.fields if condition else ())]
            first = 0
            for index, message in opened.batches(file_range):
                with damage(file, source):
                    n_rows = message.n_rows
                mask = wanted_rows(first, n_rows, wanted)
                if index >= file_range.start and (mask is None or mask.any()):
                    table = opened.table(message, names)
                    for rows, positions in _slices(table, first):
                        yield _batch(
                            file,
                            rows if mask is None else filtered(rows, mask[positions - first]),
                            positions if mask is None else positions[mask[positions - first]],
                            settings,
                            condition,
                            wanted,
                        )
                first += n_rows

    def schema_of(self, file: SourceFile, source: Source) -> pa.Schema:
        """See `TableFormat`."""
        return _Opened(file, source).schema

    def columns(self, file: SourceFile, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """See `registry.Format`."""
        with open_source(file, file.size) as source:
            opened = _Opened(file, source)
            for name in names:
                type_of(file, opened.schema, name)
            for _, message in opened.batches(FileRange(file)):
                table = opened.table(message, list(names))
                yield tuple(column_of(table, name) for name in names)

    def text_per_stored(self, file: SourceFile) -> float:
        """See `registry.Format`."""
        return 1.5

    def stored_bytes(self, file: SourceFile, n_bytes: int, n_records: int) -> float:
        """See `registry.Format`."""
        with open_source(file) as source, damage(file, source):
            n_rows = sum(message.n_rows for _, message in _Opened(file, source).batches(FileRange(file)))
        return file.size * n_records / max(1, n_rows)

    @contextlib.contextmanager
    def open_sink(self, stream: IO[bytes], schema: pa.Schema) -> Iterator[TableSink]:
        """See `TableFormat`."""
        with pa.ipc.new_file(stream, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            yield _Joining(writer)

    def gather(self, extracts: Iterable[IO[bytes]], stream: IO[bytes], compression: str) -> None:
        """See `registry.Format`."""
        sink: TableSink | None = None
        with contextlib.ExitStack() as stack:
            for extract in extracts:
                with pa.ipc.open_file(extract) as file:
                    sink = sink or stack.enter_context(self.open_sink(stream, file.schema))
                    for index in range(file.num_record_batches):
                        check_cancelled()
                        sink.write_table(pa.Table.from_batches([file.get_batch(index)]))


FORMAT = ArrowFile("arrow")


@dataclass(frozen=True)
class _Joining:
    """Writes each table as one record batch."""

    writer: Any

    def write_table(self, table: pa.Table) -> None:
        with contextlib.suppress(pa.ArrowNotImplementedError):  # of views; each chunk is a batch then
            table = table.combine_chunks()
        self.writer.write_table(table)


def _has_footer(source: Source) -> bool:
    return read_at(source, 0, len(MAGIC)) == MAGIC


class _Opened:
    """A file in either layout.

    Raises:
        DamagedFileError: it cannot be read.
    """

    def __init__(self, file: SourceFile, source: Source) -> None:
        self._file, self._source = file, source
        self._dictionaries: list[tuple[int, bytes]] = []
        with damage(file, source):
            self._has_footer = _has_footer(source)
            first = message_at(source, FIRST if self._has_footer else 0, file.size)
            if first is None or first.kind != SCHEMA:
                raise ValueError("does not begin with a schema")
            self._schema_message = first.read(source)
            self.schema = pa.ipc.read_schema(pa.BufferReader(self._schema_message))
            self._has_dictionaries = any(_plain(field.type) != field.type for field in self.schema)
            self._as_bytes = self._schema_message if self._has_dictionaries else _as_bytes(self.schema)

    def batches(self, file_range: FileRange) -> Iterator[tuple[int, Message]]:
        """Record batches by number, from the first of the file to the last of a range."""
        messages = self._by_footer(file_range.stop) if self._has_footer else self._by_marker()
        index = 0
        while True:
            with damage(self._file, self._source):
                if (message := next(messages, None)) is None:
                    break
                if message.kind == DICTIONARY:
                    self._remember(message)
                    continue
            yield index, message
            index += 1
        if file_range.stop != WHOLE and index < file_range.stop:
            raise damaged(self._file, "changed since it was planned: has fewer record batches now")

    def _by_footer(self, stop: int) -> Iterator[Message]:
        dictionaries, batches = blocks(self._source, self._file.size)
        for kind, some in ((DICTIONARY, dictionaries), (BATCH, batches if stop == WHOLE else batches[:stop])):
            for block in some:
                message = message_at(self._source, block.offset, self._file.size)
                if message is None or message.kind != kind or message.n_metadata + message.n_body != block.n_bytes:
                    raise ValueError("its footer contradicts its messages")
                yield message

    def _by_marker(self) -> Iterator[Message]:
        messages = stream_messages(self._source, self._file.size)
        next(messages)  # the schema
        for message in messages:
            if message.kind not in (DICTIONARY, BATCH):
                raise ValueError(f"a message of an unknown kind at byte {message.offset:,}")
            yield message

    def _remember(self, message: Message) -> None:
        """Keep a dictionary, in place of one of the same number unless it adds to that."""
        if not self._has_dictionaries:
            raise ValueError(f"a dictionary that no column has, at byte {message.offset:,}")
        number, is_delta = message.header.integer(0, "<q"), message.header.integer(2, "<B")
        if not is_delta:
            self._dictionaries = [kept for kept in self._dictionaries if kept[0] != number]
        self._dictionaries.append((number, message.read(self._source)))
        if sum(len(data) for _, data in self._dictionaries) > MAX_BATCH_BYTES:
            raise ValueError(f"dictionaries of more than {MAX_BATCH_BYTES:,} bytes")

    def table(self, message: Message, names: list[str] | None) -> pa.Table:
        """The rows of a record batch, some of its columns or all.

        Raises:
            DamagedFileError: it is corrupt.
            RequestError: it holds dictionaries that cannot be resolved.
        """
        with damage(self._file, self._source):
            data = message.read(self._source)
            outer = None if names is None else {name.split(".")[0] for name in names}
            fields = [i for i, name in enumerate(self.schema.names) if outer is None or name in outer]
            # Offsets are trusted by all that follows; read as bytes, since text that is no UTF-8 is a bad row.
            self._decoded(self._as_bytes, data, fields).validate(full=True)
            batch = self._decoded(self._schema_message, data, fields)
            if len(batch) != message.n_rows:
                raise ValueError(f"a record batch holds {len(batch):,} rows, and says {message.n_rows:,}")
        table = pa.Table.from_batches([batch])
        plain = pa.schema([field.with_type(_plain(field.type)) for field in table.schema], table.schema.metadata)
        try:
            return table if plain == table.schema else table.cast(plain)
        except pa.ArrowNotImplementedError as error:
            raise RequestError(f"{self._file.path}: {error}: write it anew without dictionaries") from None

    def _decoded(self, schema: bytes, data: bytes, fields: list[int]) -> pa.RecordBatch:
        stream = pa.BufferReader(b"".join([schema, *(data for _, data in self._dictionaries), data]))
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        return pa.ipc.open_stream(stream, options=options).read_next_batch()


def _slices(table: pa.Table, first: int) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Some rows at a time, with their positions."""
    n = max(1, min(DOCUMENT_ROWS, len(table) * DOCUMENT_BYTES // max(1, table.nbytes)))
    for start in range(0, len(table), n):
        rows = table.slice(start, n)
        yield rows, np.arange(first + start, first + start + len(rows), dtype=np.int64)


def _batch(
    file: SourceFile,
    table: pa.Table,
    positions: np.ndarray,
    settings: ReadSettings,
    condition: Condition | None,
    wanted: ReadRequest,
) -> Batch:
    n_excluded = 0
    if condition is not None:
        included = included_rows(table, condition)
        n_excluded = len(table) - int(included.sum())
        table, positions = filtered(table, included), positions[included]
    batch = documents_of(file, table, settings, positions, wanted)
    batch.excluded = n_excluded
    return batch


def _as_bytes(schema: pa.Schema) -> bytes:
    """The message of a schema whose text is bytes, in the same buffers."""
    return bytes(pa.schema([field.with_type(_mapped(field.type, BYTES)) for field in schema]).serialize())


BYTES = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without dictionaries: a file has one for all its batches, and output gathers many files."""
    return _mapped(kind, {})


def _mapped(kind: pa.DataType, leaves: dict[pa.DataType, pa.DataType]) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _mapped(kind.value_type, leaves)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_mapped(field.type, leaves)) for field in kind])
    for is_list, make in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_list(kind):
            return make(kind.value_field.with_type(_mapped(kind.value_type, leaves)))
    return leaves.get(kind, kind)
