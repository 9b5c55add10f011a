"""Documents of Arrow tables, and what formats of tables have in common: a record's position is its row number."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.columns import check_text, column_of, type_of, values_of
from dsir_core.corpus.formats.json_records import JOINT, TOO_LARGE
from dsir_core.corpus.formats.registry import ENTRIES, RecordWriter
from dsir_core.corpus.source import Source, damaged, open_source
from dsir_core.corpus.types import BLOCK_ROWS, BadRecord, Batch, FileRange, ReadRequest, SourceFile

GROUP_BYTES = 64 * 2**20
"""Rows are written in groups (record batches) of about so many bytes."""

Mask = npt.NDArray[np.bool_]


class TableSink(Protocol):
    """What pyarrow's writers have in common."""

    def write_table(self, table: pa.Table) -> None:
        """Append rows."""
        ...


class TableFormat:
    """A format of tables with a schema; records are pyarrow.Table with all columns.

    Args:
        name: in the registry.
    """

    enterable = False
    skips_blocks = True

    def __init__(self, name: str) -> None:
        self.name = name

    def check_fields(self, file: SourceFile, settings: ReadSettings) -> None:
        """See `registry.Format`."""
        with open_source(file) as source:
            check_columns(file, self.schema_of(file, source), settings, ReadRequest())

    def schema_of(self, file: SourceFile, source: Source) -> pa.Schema:
        """The schema of a file's rows."""
        raise NotImplementedError

    def suggest_fields(self, file: SourceFile, missing: str) -> list[str]:
        """None: a missing column is a wrong request."""
        return []

    def kind_of(self, records: pa.Table) -> str:
        """See `registry.Format`."""
        return f"{self.name}-{hashlib.sha256(records.schema.serialize().to_pybytes()).hexdigest()[:16]}"

    def extract_suffix(self) -> str:
        """See `registry.Format`."""
        return ENTRIES[self.name].suffixes[0]

    def part_suffix(self, compression: str) -> str:
        """See `registry.Format`: these formats compress by themselves."""
        return ENTRIES[self.name].suffixes[0]

    @contextlib.contextmanager
    def extract_writer(self, stream: IO[bytes], records: pa.Table) -> Iterator[RecordWriter]:
        """See `registry.Format`."""
        with self.open_sink(stream, records.schema) as sink:
            writer = _GroupWriter(sink)
            yield writer
            writer.flush()

    def open_sink(self, stream: IO[bytes], schema: pa.Schema) -> contextlib.AbstractContextManager[TableSink]:
        """Write tables of a schema."""
        raise NotImplementedError


class _GroupWriter:
    """Gathers batches of rows until they make a group."""

    def __init__(self, sink: TableSink) -> None:
        self._sink = sink
        self._waiting: list[pa.Table] = []
        self._n_bytes = 0

    def write(self, records: pa.Table) -> int:
        self._waiting.append(records)
        self._n_bytes += records.nbytes
        if self._n_bytes >= GROUP_BYTES:
            self.flush()
        return int(records.nbytes)

    def flush(self) -> None:
        if self._waiting:
            self._sink.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._n_bytes = [], 0


def check_columns(file: SourceFile, schema: pa.Schema, settings: ReadSettings, wanted: ReadRequest) -> None:
    """Check that a schema has what is asked for.

    Raises:
        RequestError: a text field is no column or no text, or another field that is asked for is no column.
    """
    condition = Condition.of(settings.include, settings.exclude)
    check_text(file, schema, settings.text_field)
    for name in (*wanted.fields, *(condition.fields if condition else ())):
        type_of(file, schema, name)


def shared_out(total: int, sizes: Sequence[int]) -> list[int]:
    """A file's stored bytes, shared out among its parts by their sizes."""
    edges = [total * n_bytes // max(1, sum(sizes)) for n_bytes in itertools.accumulate(sizes, initial=0)]
    return [stop - start for start, stop in itertools.pairwise(edges)]


def ranges_of(file: SourceFile, sizes: Sequence[int], shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
    """Ranges of parts (row groups, record batches) of some sizes, each with its stored bytes; else the whole file."""
    if not sizes:
        yield FileRange(file), file.size
        return
    start, n_bytes = 0, 0
    for index, size in enumerate(sizes):
        if index > start and n_bytes + size > shard_bytes:
            yield FileRange(file, start, index), n_bytes
            start, n_bytes = index, 0
        n_bytes += size
    yield FileRange(file, start, len(sizes)), n_bytes


def included_rows(table: pa.Table, condition: Condition) -> Mask:
    """bool[n]: rows that meet a condition."""
    rows = zip(*(values_of(table, name) for name in condition.fields), strict=True)
    return np.fromiter((condition.holds(list(values)) for values in rows), bool, len(table))


def documents_of(
    file: SourceFile,
    table: pa.Table,
    settings: ReadSettings,
    positions: npt.NDArray[np.int64],
    wanted: ReadRequest,
) -> Batch:
    """The documents and bad records of some rows.

    Args:
        positions: int64[n], of the rows.
    """
    # As bytes first: what is no UTF-8 is a bad row, and a failed cast would be all rows.
    fields = [column_of(table, name).cast(pa.large_binary()) for name in settings.text_field]
    bad: list[BadRecord] = []
    good = np.ones(len(table), bool)
    for name, values in zip(settings.text_field, fields, strict=True):
        for reason, rows in _faults(name, values, settings.max_record_bytes):
            bad += [BadRecord(file.path, int(positions[row]), reason) for row in rows if good[row]]
            good[rows] = False
    if bad:
        bad.sort(key=lambda record: record.position)
        kept = pa.array(good)
        positions = positions[good]
        if wanted.keep_records or wanted.fields:
            table = filtered(table, good)
        fields = [values.filter(kept) for values in fields]
    texts = fields[0].cast(pa.large_string())
    if len(fields) > 1:
        texts = pc.binary_join_element_wise(
            *(values.cast(pa.large_string()) for values in fields), pa.scalar(JOINT, pa.large_string())
        )
    _, offsets, data = texts.buffers()
    # An empty array may come without buffers.
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1] if offsets else None
    return Batch(
        positions,
        np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8),
        ends if ends is not None and len(ends) else np.zeros(len(texts) + 1, np.int64),
        bad,
        table if wanted.keep_records else None,
        int(ends[-1] - ends[0]) if ends is not None and len(ends) else 0,
        fields=_rows_of_fields(table, wanted.fields),
    )


def _rows_of_fields(table: pa.Table, names: tuple[str, ...]) -> list[list[Any]]:
    return [list(row) for row in zip(*(values_of(table, name) for name in names), strict=True)] if names else []


def _faults(name: str, values: pa.Array, limit: int) -> Iterator[tuple[str, list[int]]]:
    """Rows without text, by reason."""
    too_large = pc.fill_null(pc.greater(pc.binary_length(values), limit), False)
    if pc.any(too_large).as_py():
        rows = np.flatnonzero(too_large.to_numpy(zero_copy_only=False)).tolist()
        yield f"{TOO_LARGE}: {name} is over {limit:,} bytes", rows
    if values.null_count:
        yield f"{name} is null", np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)).tolist()
    try:
        values.cast(pa.large_string()).validate(full=True)
    except pa.ArrowInvalid:
        rows = values.to_pylist()
        yield (
            f"invalid UTF-8: in {name}",
            [i for i, data in enumerate(rows) if data is not None and not _is_utf8(data)],
        )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def filtered(table: pa.Table, mask: Mask) -> pa.Table:
    """The rows of a mask. Arrow cannot filter every type that it can read (views, for one), but can slice all."""
    try:
        return table.filter(pa.array(mask))
    except pa.ArrowNotImplementedError:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        runs = [table.slice(start, stop - start) for start, stop in edges.reshape(-1, 2).tolist()]
        return pa.concat_tables(runs) if runs else table.slice(0, 0)


def wanted_rows(first: int, n_rows: int, wanted: ReadRequest) -> Mask | None:
    """Which of consecutive rows to read; None for all."""
    return wanted_positions(np.arange(first, first + n_rows, dtype=np.int64), wanted)


def wanted_positions(positions: npt.NDArray[np.int64], wanted: ReadRequest) -> Mask | None:
    """Which of consecutive row numbers, int64[n], to read; None for all."""
    mask: Mask | None = None
    if wanted.positions is not None and len(positions):
        inside = slice(*np.searchsorted(wanted.positions, [positions[0], positions[-1] + 1]))
        mask = np.zeros(len(positions), bool)
        mask[wanted.positions[inside] - positions[0]] = True
    if wanted.keep_block is not None:
        kept = wanted.keep_block(positions // BLOCK_ROWS)
        mask = kept if mask is None else mask & kept
    return mask


@contextlib.contextmanager
def damage(file: SourceFile, source: Source) -> Iterator[None]:
    """Turn what Arrow says of bad bytes into damage; the storage's own errors pass."""
    try:
        yield
    except MemoryError:  # Arrow's own is an ArrowException, too, but says nothing of the file
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        if source.error is not None:
            raise source.error from None
        raise damaged(file, f"corrupt {ENTRIES[file.format].title}: {' '.join(str(error).split())[:300]}") from error
