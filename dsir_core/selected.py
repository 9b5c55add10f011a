"""`selected.parquet` and the selection digest: all chosen documents in order of (file, position)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.marking import SELECTION_SCHEMA
from dsir_core.store import Store
from dsir_core.weights import gather_rows

NAME = "selected.parquet"
READ_ROWS = 1 << 17


@dataclass(frozen=True)
class SelectedTask:
    """Shards' selections to be joined, in order."""

    workdir: str
    output: str
    selections: tuple[str, ...]
    """Names of selection files in the workdir."""


@dataclass(frozen=True)
class SelectedResult:
    """The finished list of chosen documents."""

    documents: int
    selection_digest: str
    """SHA-256 over `file NUL position LF` of each chosen document, in order of (file, position)."""


def write_selected(task: SelectedTask) -> SelectedResult:
    """Join the shards' selections into `selected.parquet`, a bounded number of rows at a time."""
    source, target = Store(task.workdir), Store(task.output)
    sha256 = hashlib.sha256()
    documents = 0

    def rows() -> Iterator[pa.RecordBatch]:
        for name in task.selections:
            with source.open(name) as raw:
                for batch in pq.ParquetFile(raw, page_checksum_verification=True).iter_batches(READ_ROWS):
                    sha256.update(pairs(batch))
                    yield batch

    with (
        target.writer(NAME) as stream,
        pq.ParquetWriter(stream, SELECTION_SCHEMA, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in gather_rows(rows(), SELECTION_SCHEMA, READ_ROWS):
            writer.write_table(table)
            documents += table.num_rows
    return SelectedResult(documents, sha256.hexdigest())


def pairs(batch: pa.RecordBatch) -> bytes:
    """The bytes that stand for a batch's documents in the selection digest."""
    files = batch.column("file").cast(pa.string()).to_pylist()
    positions = batch.column("position").to_pylist()
    return b"".join(f"{file}\0{position}\n".encode() for file, position in zip(files, positions, strict=True))
