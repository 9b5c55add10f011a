"""Parquet: row groups in small batches of rows, only the columns that are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.columns import column_of, type_of
from dsir_core.corpus.formats.parquet_pruning import may_hold
from dsir_core.corpus.formats.tables import (
    Mask,
    TableFormat,
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
from dsir_core.errors import DamagedFileError
from dsir_core.runtime.cancellation import check_cancelled

BATCH_BYTES = 4 * 2**20
MAX_BATCH_ROWS = 16_384
BUFFER_BYTES = 8 * 2**20
"""Fetched at once from a column that is read alone; several columns share it."""
MIN_BUFFER_BYTES = 2**18

COLUMN_ROWS = 1 << 20
"""Of columns that are read alone."""


class Parquet(TableFormat):
    """See `registry.Format`. Row groups are the ranges."""

    def ranges(self, file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
        """Ranges of row groups."""
        try:
            sizes = row_group_bytes(file)
        except DamagedFileError:
            sizes = []  # for the shard that reads it to say, when all others are done
        yield from ranges_of(file, sizes, shard_bytes)

    def read(self, file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
        """See `read.read_range`."""
        condition = Condition.of(settings.include, settings.exclude)
        with open_source(file_range.file) as source:
            names = list(dict.fromkeys([*settings.text_field, *wanted.fields]))
            file = _opened(file_range.file, source, None if wanted.keep_records else len(names))
            check_columns(file_range.file, file.schema_arrow, settings, wanted)
            for group, first in _groups(file_range, file.metadata):
                n_rows = file.metadata.row_group(group).num_rows
                mask = wanted_rows(first, n_rows, wanted)
                if mask is not None and not mask.any():
                    continue
                excluded = 0
                if condition is not None:
                    with damage(file_range.file, source):
                        included = (
                            _included(file, group, n_rows, condition, mask)
                            if may_hold(settings.include, settings.exclude, file.metadata.row_group(group))
                            else np.zeros(n_rows, bool)
                        )
                    excluded = (n_rows if mask is None else int(mask.sum())) - int(included.sum())
                    mask = included
                    if not mask.any():
                        yield Batch(
                            np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64), excluded=excluded
                        )
                        continue
                rows = _rows_at_once(file.metadata.row_group(group), n_rows)
                batches = file.iter_batches(rows, row_groups=[group], columns=None if wanted.keep_records else names)
                for batch in _documents(file_range.file, source, batches, settings, first, n_rows, mask, wanted):
                    batch.excluded, excluded = excluded, 0
                    yield batch

    def schema_of(self, file: SourceFile, source: Source) -> pa.Schema:
        """See `TableFormat`."""
        return _opened(file, source, 1).schema_arrow

    def columns(self, file: SourceFile, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """See `registry.Format`."""
        with open_source(file) as source, damage(file, source):
            opened = _opened(file, source, len(names))
            for name in names:
                type_of(file, opened.schema_arrow, name)
            batches = opened.iter_batches(COLUMN_ROWS, columns=list(names))
            while (batch := next(batches, None)) is not None:
                table = pa.Table.from_batches([batch])
                yield tuple(column_of(table, name) for name in names)

    def text_per_stored(self, file: SourceFile) -> float:
        """See `registry.Format`."""
        return 2.0

    def stored_bytes(self, file: SourceFile, n_bytes: int, n_records: int) -> float:
        """See `registry.Format`."""
        with open_source(file) as source, damage(file, source):
            return float(file.size * n_records / max(1, pq.read_metadata(source).num_rows))

    def open_sink(self, stream: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
        """See `TableFormat`."""
        return pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True)

    def gather(self, extracts: Iterable[IO[bytes]], stream: IO[bytes], compression: str) -> None:
        """See `registry.Format`."""
        writer: pq.ParquetWriter | None = None
        with contextlib.ExitStack() as stack:
            for extract in extracts:
                with pq.ParquetFile(extract, page_checksum_verification=True) as file:
                    writer = writer or stack.enter_context(self.open_sink(stream, file.schema_arrow))
                    for group in range(file.num_row_groups):
                        check_cancelled()
                        writer.write_table(file.read_row_group(group))


FORMAT = Parquet("parquet")


def _opened(file: SourceFile, source: Source, n_columns: int | None) -> pq.ParquetFile:
    """Open a file and check its footer.

    Args:
        n_columns: how many are read; None for all.

    Raises:
        DamagedFileError: its footer cannot be read, or contradicts itself.
    """
    with damage(file, source):
        metadata = pq.read_metadata(source)
        opened = pq.ParquetFile(
            source,
            metadata=metadata,
            page_checksum_verification=True,
            buffer_size=max(MIN_BUFFER_BYTES, BUFFER_BYTES // max(1, n_columns or metadata.num_columns)),
            pre_buffer=False,
            # Nanoseconds, the default, wrap around outside of the years 1677 to 2262.
            coerce_int96_timestamp_unit="us",
        )
        _check_footer(file, metadata)
    return opened


def _groups(file_range: FileRange, metadata: pq.FileMetaData) -> Iterator[tuple[int, int]]:
    """Row groups of a range, each with the position of its first row.

    Raises:
        DamagedFileError: there are fewer.
    """
    last = metadata.num_row_groups if file_range.stop == WHOLE else file_range.stop
    if last > metadata.num_row_groups:
        raise damaged(file_range.file, "changed since it was planned: has fewer row groups now")
    row = 0
    for group in range(last):
        if group >= file_range.start:
            yield group, row
        row += metadata.row_group(group).num_rows


def row_group_bytes(file: SourceFile) -> list[int]:
    """Stored bytes of each row group, nearly: the file's, shared out by their uncompressed sizes."""
    with open_source(file) as source, damage(file, source):
        metadata = pq.read_metadata(source)
        _check_footer(file, metadata)
        sizes = [max(0, metadata.row_group(i).total_byte_size) for i in range(metadata.num_row_groups)]
        if not any(sizes):  # some writers leave them out
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    return shared_out(file.size, sizes)


def _included(file: pq.ParquetFile, group: int, n_rows: int, condition: Condition, mask: Mask | None) -> Mask:
    """bool[n_rows]: rows of a group that are wanted and meet a condition; only its own columns are read."""
    included = np.ones(n_rows, bool) if mask is None else mask.copy()
    done = 0
    for rows in file.iter_batches(MAX_BATCH_ROWS, row_groups=[group], columns=list(condition.fields)):
        mine = included[done : done + len(rows)]  # a view
        if mine.any():
            mine[mine] = included_rows(filtered(pa.Table.from_batches([rows]), mine), condition)
        done += len(rows)
    if done != n_rows:
        raise ValueError(f"row group holds {done:,} rows, its footer says {n_rows:,}")
    return included


def _documents(
    file: SourceFile,
    source: Source,
    batches: Iterator[pa.RecordBatch],
    settings: ReadSettings,
    first: int,
    n_rows: int,
    mask: Mask | None,
    wanted: ReadRequest,
) -> Iterator[Batch]:
    """Documents of one row group."""
    done = 0
    while True:
        with damage(file, source):
            rows = next(batches, None)
        if rows is None:
            break
        positions = np.arange(first + done, first + done + len(rows), dtype=np.int64)
        mine = None if mask is None else mask[done : done + len(rows)]
        done += len(rows)
        table = pa.Table.from_batches([rows])
        if mine is not None:
            if not mine.any():
                continue
            table, positions = filtered(table, mine), positions[mine]
        yield documents_of(file, table, settings, positions, wanted)
    if done != n_rows:
        raise damaged(file, f"row group holds {done:,} rows, its footer says {n_rows:,}")


def _check_footer(file: SourceFile, metadata: pq.FileMetaData) -> None:
    """A footer has no checksum, but says how many rows there are more than once.

    Raises:
        DamagedFileError: it contradicts itself.
    """
    n_rows = sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    if n_rows != metadata.num_rows:
        raise damaged(file, f"corrupt Parquet: footer says {metadata.num_rows:,} rows, its row groups {n_rows:,}")


def _rows_at_once(group: Any, n_rows: int) -> int:
    # The sizes of single columns say more, but Arrow ends the process when their entries in the footer are corrupt.
    n_bytes: int = group.total_byte_size
    return max(1, min(MAX_BATCH_ROWS, n_rows * BATCH_BYTES // max(1, n_bytes)))
