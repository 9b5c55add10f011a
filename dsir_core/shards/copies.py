"""What a worker does to find exact copies: hashes of a shard, one partition of all hashes, marks of a shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.cached import find_or_make
from dsir_core.checkpoints.kinds import COPIES, HASHES, MARKED
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.corpus.tally import Tally
from dsir_core.features.text_hashes import text_hashes
from dsir_core.resampling.copies import (
    BINS,
    COPY,
    ENTRY,
    IN_TARGET,
    MARK,
    CopyCounts,
    find_copies,
    index_bytes,
    marks_bytes,
    read_slice,
)
from dsir_core.resampling.keys import eligible
from dsir_core.resampling.weight_rows import READ_ROWS, rows_of
from dsir_core.resampling.weights_schema import COPY as COPY_COLUMN
from dsir_core.resampling.weights_schema import TEXT_HASH, hashes_of
from dsir_core.runtime.cancellation import check_cancelled
from dsir_core.shards.reading import quarantining, read_shard
from dsir_core.shards.score import write_weights
from dsir_core.shards.task import ShardTask, SourceTask


@dataclass(frozen=True)
class IndexResult:
    """Where the index of a shard's hashes lies."""

    receipt: Receipt
    tally: Tally
    reused: bool
    seconds: float


@dataclass(frozen=True)
class HashTask(SourceTask):
    """One shard of a target whose texts are to be hashed."""

    kind = HASHES

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {"shard": self.source["shard"]}


def hash_shard(task: HashTask) -> IndexResult:
    """Put an index of the hashes of a shard's texts into the store, or take what is there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    store = Store(task.workdir)

    def make(draft: Draft) -> Tally:
        found, tally = [np.empty((0, 2), np.uint64)], Tally()
        with quarantining(store, task.shard, task.read, tally, write=False) as quarantine:
            for _, batch in read_shard(task.shard, task.read, tally, quarantine):
                found.append(text_hashes(batch.text_data, batch.text_offsets))
        return _write_index(draft, np.concatenate(found), None)

    return _indexed(store, task, make)


@dataclass(frozen=True)
class IndexTask(ShardTask):
    """One shard of raw whose eligible documents are to be compared with others."""

    kind = HASHES
    weights: Receipt
    columns: tuple[str, ...]
    """Of log weights, which eligible documents have."""
    min_tokens: int

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {"weights": self.weights.sha256, "min_tokens": self.min_tokens}


def index_shard(task: IndexTask) -> IndexResult:
    """Put an index of the hashes of a shard's eligible documents into the store, or take what is there."""
    store = Store(task.workdir)

    def make(draft: Draft) -> Tally:
        hashes, rows, n = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)], 0
        with store.open(task.weights.name) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=READ_ROWS):
                check_cancelled()
                which = np.flatnonzero(eligible(rows_of(batch, task.columns), task.min_tokens))
                hashes.append(hashes_of(batch.column(TEXT_HASH))[which])
                rows.append(which + n)
                n += len(batch)
        return _write_index(draft, np.concatenate(hashes), np.concatenate(rows))

    return _indexed(store, task, make)


def _write_index(draft: Draft, hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64] | None) -> Tally:
    draft.stream.write(index_bytes(hashes, np.arange(len(hashes)) if rows is None else rows))
    draft.summary["documents"] = len(hashes)
    return Tally(documents=len(hashes))


def _indexed(store: Store, task: HashTask | IndexTask, make: Any) -> IndexResult:
    done = find_or_make(store, task.kind, task.key, lambda receipt: Tally(documents=receipt.summary["documents"]), make)
    return IndexResult(done.receipt, done.value, done.reused, done.seconds)


@dataclass(frozen=True)
class MatchTask:
    """One partition of all hashes, in which equal ones are looked for."""

    workdir: str
    shards: tuple[str, ...]
    """Names of the indexes of shards of raw, or of what was selected of them, in order."""
    targets: tuple[str, ...]
    """Names of the indexes of shards of targets."""
    start: int
    stop: int
    """Bins [start, stop)."""

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return COPIES.key({"shards": self.shards, "targets": self.targets, "bins": [self.start, self.stop]})


@dataclass(frozen=True)
class MatchResult:
    """Where the marks of one partition lie."""

    receipt: Receipt
    counts: CopyCounts


def match_partition(task: MatchTask) -> MatchResult:
    """Find the copies of one partition, or take what is there."""
    store = Store(task.workdir)

    def read(name: str) -> np.ndarray:
        check_cancelled()
        with store.open(name) as stream:
            return read_slice(stream, BINS, task.start, task.stop, ENTRY)

    def make(draft: Draft) -> CopyCounts:
        counts, shards, marks = find_copies(list(map(read, task.shards)), list(map(read, task.targets)))
        draft.stream.write(marks_bytes(shards, marks, len(task.shards)))
        draft.summary.update(vars(counts))
        return counts

    done = find_or_make(store, COPIES, task.key, lambda receipt: CopyCounts(**receipt.summary), make)
    return MatchResult(done.receipt, done.value)


@dataclass(frozen=True)
class MarkTask(ShardTask):
    """One shard of raw whose copies are to be marked."""

    kind = MARKED
    weights: Receipt
    marks: tuple[str, ...]
    """Names of the marks of all partitions."""
    index: int
    """Of the shard, among those compared."""
    n_shards: int
    copies: bool
    """Whether copies of earlier documents are left out."""
    in_target: bool
    """Whether documents that stand in a target are left out."""

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {"weights": self.weights.sha256, "marks": [self.marks, self.index, self.copies, self.in_target]}


@dataclass(frozen=True)
class MarkResult:
    """Where a shard's weights with marks lie, and how many documents are left out."""

    receipt: Receipt
    copies: int
    in_target: int
    reused: bool
    seconds: float

    @property
    def tally(self) -> Tally:
        """For the observer: the documents left out."""
        return Tally(documents=self.copies + self.in_target)


def mark_shard(task: MarkTask) -> MarkResult:
    """Put the weights of a shard with its copies marked into the store, or take what is there."""
    store = Store(task.workdir)

    def make(draft: Draft) -> dict[str, int]:
        marks = np.concatenate([_marks_of(store, name, task) for name in task.marks])
        with store.open(task.weights.name) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            names = [name for name in file.schema_arrow.names if name != TEXT_HASH]
            schema = pa.schema([file.schema_arrow.field(name) for name in names]).append(
                pa.field(COPY_COLUMN, pa.int8())
            )
            write_weights(draft.stream, schema, _with_marks(file, names, schema, marks))
        draft.summary["in_target"] = int((marks["kind"] == IN_TARGET).sum())
        draft.summary["copies"] = len(marks) - draft.summary["in_target"]
        return draft.summary

    done = find_or_make(store, task.kind, task.key, lambda receipt: receipt.summary, make)
    return MarkResult(done.receipt, done.value["copies"], done.value["in_target"], done.reused, done.seconds)


def _marks_of(store: Store, name: str, task: MarkTask) -> np.ndarray:
    with store.open(name) as stream:
        marks = read_slice(stream, task.n_shards, task.index, task.index + 1, MARK).copy()
    in_target = task.in_target & ((marks["kind"] & IN_TARGET) > 0)
    is_copy = task.copies & ((marks["kind"] & COPY) > 0)
    marks["kind"] = np.where(in_target, IN_TARGET, np.where(is_copy, COPY, 0))
    return marks[marks["kind"] > 0]


def _with_marks(
    file: pq.ParquetFile, names: list[str], schema: pa.Schema, marks: np.ndarray
) -> Iterator[pa.RecordBatch]:
    n = 0
    for batch in file.iter_batches(batch_size=READ_ROWS, columns=names):
        check_cancelled()
        kinds = np.zeros(len(batch), np.int8)
        mine = marks[(marks["row"] >= n) & (marks["row"] < n + len(batch))]
        kinds[mine["row"] - n] = mine["kind"]
        yield pa.RecordBatch.from_arrays([*batch.columns, pa.array(kinds)], schema=schema)
        n += len(batch)
