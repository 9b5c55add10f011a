"""Parquet: row groups in small batches of rows, only the columns that are needed."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.json_records import JOINT, TOO_LARGE
from dsir_core.corpus.formats.parquet_columns import check_text, column_of, type_of, values_of
from dsir_core.corpus.formats.parquet_pruning import may_hold
from dsir_core.corpus.source import Source, damaged, open_source
from dsir_core.corpus.types import PARQUET_BLOCK_ROWS, WHOLE, BadRecord, Batch, FileRange, ReadRequest, SourceFile

BATCH_BYTES = 4 * 2**20
MAX_BATCH_ROWS = 16_384
BUFFER_BYTES = 8 * 2**20
"""Fetched at once from a column that is read alone; several columns share it."""
MIN_BUFFER_BYTES = 2**18

Mask = npt.NDArray[np.bool_]


def row_group_bytes(file: SourceFile) -> list[int]:
    """Stored bytes of each row group, nearly: the file's, shared out by their uncompressed sizes."""
    with open_source(file) as source, damage(file, source):
        metadata = pq.read_metadata(source)
        _check_footer(file, metadata)
        sizes = [max(0, metadata.row_group(i).total_byte_size) for i in range(metadata.num_row_groups)]
        if not any(sizes):  # some writers leave them out
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    edges = [file.size * n_bytes // max(1, sum(sizes)) for n_bytes in itertools.accumulate(sizes, initial=0)]
    return [stop - start for start, stop in itertools.pairwise(edges)]


def read_parquet(file_range: FileRange, settings: ReadSettings, wanted: ReadRequest) -> Iterator[Batch]:
    """See `read.read_range`."""
    condition = Condition.of(settings.include, settings.exclude)
    with open_source(file_range.file) as source:
        with damage(file_range.file, source):
            metadata = pq.read_metadata(source)
            names = list(dict.fromkeys([*settings.text_field, *wanted.fields]))
            n_columns = metadata.num_columns if wanted.keep_records else len(names)
            file = pq.ParquetFile(
                source,
                metadata=metadata,
                page_checksum_verification=True,
                buffer_size=max(MIN_BUFFER_BYTES, BUFFER_BYTES // max(1, n_columns)),
                pre_buffer=False,
            )
            _check_footer(file_range.file, metadata)
        check_text(file_range.file, file.schema_arrow, settings.text_field)
        for name in (*wanted.fields, *(condition.fields if condition else ())):
            type_of(file_range.file, file.schema_arrow, name)
        row = 0
        last = metadata.num_row_groups if file_range.stop == WHOLE else file_range.stop
        if last > metadata.num_row_groups:
            raise damaged(file_range.file, "changed since it was planned: has fewer row groups now")
        for group in range(last):
            n_rows = metadata.row_group(group).num_rows
            first, row = row, row + n_rows
            if group < file_range.start:
                continue
            mask = _wanted_rows(first, n_rows, wanted)
            if mask is not None and not mask.any():
                continue
            excluded = 0
            if condition is not None:
                with damage(file_range.file, source):
                    included = (
                        _included(file, group, n_rows, condition, mask)
                        if may_hold(settings.include, settings.exclude, metadata.row_group(group))
                        else np.zeros(n_rows, bool)
                    )
                excluded = (n_rows if mask is None else int(mask.sum())) - int(included.sum())
                mask = included
                if not mask.any():
                    yield Batch(np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64), excluded=excluded)
                    continue
            columns = None if wanted.keep_records else names
            rows = _rows_at_once(metadata.row_group(group), n_rows)
            batches = file.iter_batches(rows, row_groups=[group], columns=columns)
            for batch in _group(file_range.file, source, batches, settings, first, n_rows, mask, wanted):
                batch.excluded, excluded = excluded, 0
                yield batch


def _included(file: pq.ParquetFile, group: int, n_rows: int, condition: Condition, mask: Mask | None) -> Mask:
    """bool[n_rows]: rows of a group that are wanted and meet a condition; only its own columns are read."""
    included = np.zeros(n_rows, bool)
    done = 0
    for rows in file.iter_batches(MAX_BATCH_ROWS, row_groups=[group], columns=list(condition.fields)):
        table = pa.Table.from_batches([rows])
        for row, values in enumerate(zip(*(values_of(table, name) for name in condition.fields), strict=True), done):
            included[row] = (mask is None or bool(mask[row])) and condition.holds(values)
        done += len(rows)
    if done != n_rows:
        raise ValueError(f"row group holds {done:,} rows, its footer says {n_rows:,}")
    return included


def _group(
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
            table, positions = _filtered(table, mine), positions[mine]
        yield _batch(file, table, settings, positions, wanted)
    if done != n_rows:
        raise damaged(file, f"row group holds {done:,} rows, its footer says {n_rows:,}")


def _batch(
    file: SourceFile,
    table: pa.Table,
    settings: ReadSettings,
    positions: npt.NDArray[np.int64],
    wanted: ReadRequest,
) -> Batch:
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
            table = _filtered(table, good)
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


def _filtered(table: pa.Table, mask: Mask) -> pa.Table:
    """The rows of a mask. Arrow cannot filter every type that it can read (views, for one), but can slice all."""
    try:
        return table.filter(pa.array(mask))
    except pa.ArrowNotImplementedError:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        runs = [table.slice(start, stop - start) for start, stop in edges.reshape(-1, 2).tolist()]
        return pa.concat_tables(runs) if runs else table.slice(0, 0)


def _check_footer(file: SourceFile, metadata: pq.FileMetaData) -> None:
    """A footer has no checksum, but says how many rows there are more than once.

    Raises:
        DamagedFileError: it contradicts itself.
    """
    n_rows = sum(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    if n_rows != metadata.num_rows:
        raise damaged(file, f"corrupt Parquet: footer says {metadata.num_rows:,} rows, its row groups {n_rows:,}")


def _wanted_rows(first: int, n_rows: int, wanted: ReadRequest) -> Mask | None:
    """Which rows of a group to read; None for all."""
    mask: Mask | None = None
    if wanted.positions is not None:
        inside = wanted.positions[slice(*np.searchsorted(wanted.positions, [first, first + n_rows]))] - first
        mask = np.zeros(n_rows, bool)
        mask[inside] = True
    if wanted.keep_block is not None:
        kept = wanted.keep_block(np.arange(first, first + n_rows, dtype=np.int64) // PARQUET_BLOCK_ROWS)
        mask = kept if mask is None else mask & kept
    return mask


def _rows_at_once(group: Any, n_rows: int) -> int:
    # The sizes of single columns say more, but Arrow ends the process when their entries in the footer are corrupt.
    n_bytes: int = group.total_byte_size
    return max(1, min(MAX_BATCH_ROWS, n_rows * BATCH_BYTES // max(1, n_bytes)))


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
        raise damaged(file, f"corrupt Parquet: {' '.join(str(error).split())[:300]}") from error
