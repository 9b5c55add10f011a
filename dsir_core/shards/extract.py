"""The chosen records of one shard, taken from their source files into the store, and their n-gram counts."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.cached import array_from, load_or_make, write_array
from dsir_core.checkpoints.kinds import EXTRACT, HASHES
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import Chunking
from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.formats.registry import format_named, format_of
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Batch, FileRange
from dsir_core.features import count_ngrams
from dsir_core.features.text_hashes import text_hashes
from dsir_core.resampling.copies import index_bytes
from dsir_core.resampling.weights_schema import OFFSET
from dsir_core.shards.parts import ExtractFile, ExtractWriter
from dsir_core.shards.selected_records import SelectedRows, count_chosen, read_chosen
from dsir_core.shards.task import SourceTask
from dsir_core.storage.retries import warn

CHUNK_FORMAT = "jsonl"
"""Of chunks of documents, whatever the documents' own format is."""


@dataclass(frozen=True)
class ExtractTask(SourceTask):
    """One shard whose chosen records are wanted."""

    kind = EXTRACT
    selection: Receipt
    selectors: tuple[str, ...]
    """Who chooses."""
    chunk: Chunking | None = None
    """How documents were cut into the chunks that are chosen."""
    whole_documents: bool = False
    """Whether the documents of chosen chunks are wanted instead."""

    @property
    def hashes_key(self) -> str:
        """Key of the index of hashes, beside the checkpoint."""
        return HASHES.key({"extract": self.key})

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {
            **self.source,
            "selection": self.selection.sha256,
            "names": self.selectors,
            "chunk": self.chunk and [self.chunk.words, self.whole_documents],
        }


@dataclass(slots=True)
class Extracted:
    """What was taken from one shard."""

    documents: int = 0
    """Records written."""
    chosen: int = 0
    """Documents, or chunks of documents, that were chosen."""
    files: list[ExtractFile] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Extracted:
        """Inverse of `to_json`."""
        return cls(value["documents"], value["chosen"], [ExtractFile(**file) for file in value["files"]])


@dataclass(frozen=True)
class ExtractResult:
    """Chosen records of one shard in the store, and their n-gram counts."""

    extracted: Extracted
    counts: npt.NDArray[np.int64]
    """int64[len(selectors), buckets], by who chose the document (the first of its chosen chunks, where it is written
    whole)."""
    hashes: Receipt
    """Index of the hashes of the chosen documents' texts."""
    reused: bool
    seconds: float

    @property
    def tally(self) -> Tally:
        """For the observer: the documents taken."""
        return Tally(documents=self.extracted.documents)


@dataclass(frozen=True)
class _SelectedRows(SelectedRows):
    """Chosen documents of one file, and who has chosen them."""

    targets: npt.NDArray[np.int32]


def extract_shard(task: ExtractTask) -> ExtractResult:
    """Take a shard's chosen records into the store, or what is there already.

    Raises:
        DamagedFileError: a file cannot be read whole, or no longer holds what was scored.
    """
    store = Store(task.workdir)

    def load(receipt: Receipt, data: bytes) -> tuple[Extracted, npt.NDArray[np.int64], Receipt] | None:
        found, hashes = _complete(store, receipt), store.intact(HASHES.folder, task.hashes_key)
        return (found, array_from(data), hashes) if found is not None and hashes is not None else None

    def make(draft: Draft) -> tuple[Extracted, npt.NDArray[np.int64], Receipt]:
        extracted, counts, hashes = _extract(store, task)
        with store.checkpoint(HASHES.folder, task.hashes_key, HASHES.suffix, {"documents": len(hashes)}) as index:
            index.stream.write(index_bytes(hashes, np.arange(len(hashes))))
        write_array(draft, counts)
        draft.summary.update(extracted.to_json())
        return extracted, counts, index.sealed

    done = load_or_make(store, task.kind, task.key, load, make)
    return ExtractResult(*done.value, done.reused, done.seconds)


def _extract(store: Store, task: ExtractTask) -> tuple[Extracted, npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    hashes = [np.empty((0, 2), np.uint64)]
    counts = np.zeros((len(task.selectors), task.features.buckets), np.int64)
    extracted = Extracted()
    chosen = _read_chosen(store, task)
    with ExtractWriter(store, task.checkpoint) as writer:
        for file_range in task.shard.ranges:
            if file_range.file.path in chosen:
                _extract_range(task, file_range, chosen[file_range.file.path], writer, counts, extracted, hashes)
    extracted.files = writer.files
    return extracted, counts, np.concatenate(hashes)


def _complete(store: Store, receipt: Receipt) -> Extracted | None:
    found = Extracted.from_json(receipt.summary)
    for file in found.files:
        if not file.is_whole(store):
            warn(f"checkpoint {store.redacted}/{file.name} is damaged or gone: done again")
            return None
    return found


def _read_chosen(store: Store, task: ExtractTask) -> dict[str, _SelectedRows]:
    """Chosen documents by file. Holds a few numbers for each chosen document of one shard."""
    with store.open(task.selection.name) as stream:
        table = pq.read_table(stream)
    by_file: dict[str, _SelectedRows] = {}
    files = table.column("file").cast(pa.string()).to_numpy()
    edges = [0, *(np.flatnonzero(files[1:] != files[:-1]) + 1), len(files)] if len(files) else [0]
    order = {name: index for index, name in enumerate(task.selectors)}
    targets = np.array([order[name] for name in table.column("target").to_pylist()], np.int32)
    for start, stop in itertools.pairwise(edges):
        rows = table.slice(start, stop - start)
        by_file[files[start]] = _SelectedRows(
            rows.column("position").to_numpy(),
            rows.column("n_tokens").to_numpy(),
            rows.column(OFFSET).to_numpy() if OFFSET in rows.column_names else None,
            targets[start:stop],
        )
    return by_file


def _extract_range(
    task: ExtractTask,
    file_range: FileRange,
    chosen: _SelectedRows,
    writer: ExtractWriter,
    counts: npt.NDArray[np.int64],
    extracted: Extracted,
    hashes: list[npt.NDArray[np.uint64]],
) -> None:
    for batch, found, mine in read_chosen(file_range, task.read, chosen, task.chunk, keep_records=True):
        targets = chosen.targets[mine]
        by_whom = np.zeros((len(task.selectors), task.features.buckets), np.int64)
        for target in np.unique(targets):
            count_chosen(file_range, found, chosen.n_tokens[mine], targets == target, task.features, by_whom[target])
        if task.chunk is not None and task.whole_documents:
            _count_whole(task, batch, found, targets, counts)
        else:
            counts += by_whom
        if task.chunk is None or task.whole_documents:
            format_, records = format_of(file_range.file), batch.records
        else:
            format_, records = format_named(CHUNK_FORMAT), chunks_as_lines(file_range, found)
        writer.add(format_, records)
        extracted.documents += len(records)
        extracted.chosen += len(found)
        hashes.append(text_hashes(found.text_data, found.text_offsets))


def chunks_as_lines(file_range: FileRange, chunks: Batch) -> list[bytes]:
    """JSON lines of chunks: their text, and where it stands."""
    assert chunks.offsets is not None
    lines = []
    for i, (position, offset) in enumerate(zip(chunks.positions.tolist(), chunks.offsets.tolist(), strict=True)):
        text = bytes(chunks.text_data[chunks.text_offsets[i] : chunks.text_offsets[i + 1]]).decode()
        line = {"text": text, "file": file_range.file.path, "position": position, "offset": offset}
        lines.append(json.dumps(line, ensure_ascii=False).encode())
    return lines


def _count_whole(
    task: ExtractTask, batch: Batch, chunks: Batch, targets: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]
) -> None:
    """Add the n-grams of whole documents to those of who has chosen the first of their chosen chunks.

    Args:
        targets: int32[chunks]. counts: int64[len(selectors), buckets], added to in place.
    """
    _, first = np.unique(chunks.positions, return_index=True)
    whose = targets[first]
    for target in np.unique(whose):
        count_ngrams(*texts_of(batch, whose == target), task.features, counts[target])
