"""`selected.parquet` and the selection digest: all chosen documents in order of (file, position)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError
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


@dataclass(frozen=True)
class ChosenDocument:
    """What the list of selected documents says of one document of raw."""

    times: int
    """Rows: 1 for a selected document, 0 for another; with chunks, how many of its chunks are selected."""
    target: str = ""
    """Who selected it; of the row with the largest key."""
    rank: int = 0
    """By key among those that this target selected, from 1; of that row."""
    of: int = 0
    """How many rows this target selected."""

    def sentence(self) -> str:
        """In words."""
        if not self.times:
            return "not selected"
        chunks = f", {self.times:,} chunks of it" if self.times > 1 else ""
        return f"selected for {self.target}{chunks}, number {self.rank:,} of {self.of:,} by key"


def find_selected(output: Store, file: str, position: int) -> ChosenDocument:
    """Look a document up in `selected.parquet`, a bounded number of rows at a time.

    Args:
        file: path below the corpus root.
        position: of its record.

    Raises:
        RequestError: the list cannot be read.
    """
    times, best, target = 0, -math.inf, ""
    for batch in read_selected(output, ["file", "position", "key", "target"]):
        here = pc.and_(pc.equal(batch["file"].cast(pa.string()), file), pc.equal(batch["position"], position))
        mine = batch.filter(here)
        times += mine.num_rows
        for row in mine.to_pylist():
            if row["key"] >= best:
                best, target = row["key"], row["target"]
    if not times:
        return ChosenDocument(0)
    rank, of = 1, 0
    for batch in read_selected(output, ["key", "target"]):
        keys = batch.filter(pc.equal(batch["target"].cast(pa.string()), target))["key"]
        rank += pc.sum(pc.greater(keys, best)).as_py() or 0
        of += len(keys)
    return ChosenDocument(times, target, rank, of)


def read_selected(output: Store, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of `selected.parquet`, a bounded number at a time.

    Args:
        columns: which columns; default: all.

    Raises:
        RequestError: the list cannot be read, or lacks a column.
    """
    try:
        with output.open(NAME) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            missing = set(columns or ()).difference(file.schema_arrow.names)
            if missing:
                raise RequestError(f"{output.redacted}/{NAME} cannot be read: no column {min(missing)!r}")
            yield from file.iter_batches(READ_ROWS, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(f"{output.redacted}/{NAME} cannot be read: {error}") from error
