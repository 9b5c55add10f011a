"""`selected.parquet` and the selection digest: all chosen documents in order of (file, position)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.store import Store
from dsir_core.resampling.weights_schema import OFFSET, gather_rows
from dsir_core.runtime.cancellation import check_cancelled

NAME = "selected.parquet"
READ_ROWS = 1 << 17


@dataclass(frozen=True)
class SelectedTask:
    """Shards' selections to be joined, in order."""

    workdir: str
    output: str
    selections: tuple[str, ...]
    """Names of selection files in the workdir."""
    schema: pa.Schema


@dataclass(frozen=True)
class SelectedResult:
    """The finished list of chosen documents."""

    documents: int
    selection_digest: str
    """SHA-256 over `file NUL position LF` of each chosen document (`file NUL position NUL offset LF` of each chunk), in
    order."""


def write_selected(task: SelectedTask) -> SelectedResult:
    """Join the shards' selections into `selected.parquet`, a bounded number of rows at a time."""
    source, target = Store(task.workdir), Store(task.output)
    sha256 = hashlib.sha256()
    documents = 0

    def rows() -> Iterator[pa.RecordBatch]:
        for name in task.selections:
            with source.open(name) as raw:
                for batch in pq.ParquetFile(raw, page_checksum_verification=True).iter_batches(READ_ROWS):
                    check_cancelled()
                    sha256.update(pairs(batch))
                    yield batch

    with (
        target.writer(NAME) as stream,
        pq.ParquetWriter(stream, task.schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in gather_rows(rows(), task.schema, READ_ROWS):
            writer.write_table(table)
            documents += table.num_rows
    return SelectedResult(documents, sha256.hexdigest())


def pairs(batch: pa.RecordBatch) -> bytes:
    """The bytes that stand for a batch's documents in the selection digest."""
    columns = [batch.column("file").cast(pa.string()).to_pylist(), batch.column("position").to_pylist()]
    if OFFSET in batch.schema.names:
        columns.append(batch.column(OFFSET).to_pylist())
    return b"".join(("\0".join(map(str, place)) + "\n").encode() for place in zip(*columns, strict=True))
