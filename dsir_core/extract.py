"""The chosen records of one shard, taken from their source files into the store, and their n-gram counts."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.pieces import cut_batch
from dsir_core.corpus.read import read_piece
from dsir_core.corpus.storage import damaged
from dsir_core.corpus.types import Batch, Chunking, Piece, ReadSettings, Shard
from dsir_core.digests import digest
from dsir_core.errors import DamagedFileError
from dsir_core.ngrams import TOKENIZER_VERSION, count_ngrams
from dsir_core.ngrams.settings import FeatureSettings
from dsir_core.parts import ExtractFile, ExtractWriter
from dsir_core.remote.retries import warn
from dsir_core.shard_work import identity
from dsir_core.store import Receipt, Store
from dsir_core.tally import Tally
from dsir_core.weights import OFFSET

EXTRACT_VERSION = "extract-v4"


@dataclass(frozen=True)
class ExtractTask:
    """One shard whose chosen records are wanted."""

    workdir: str
    shard: Shard
    read: ReadSettings
    features: FeatureSettings
    selection: Receipt
    names: tuple[str, ...]
    """Who chooses."""
    chunk: Chunking | None = None
    """How documents were cut into the pieces that are chosen."""
    whole_documents: bool = False
    """Whether the documents of chosen pieces are wanted instead."""

    @property
    def checkpoint(self) -> str:
        """The checkpoint's kind and key."""
        return f"extract/{self.key}"

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return digest(
            {
                "format": EXTRACT_VERSION,
                "tokenizer": TOKENIZER_VERSION,
                "features": self.features,
                "shard": identity(self.shard, self.read),
                "selection": self.selection.sha256,
                "names": self.names,
                "chunk": self.chunk and [self.chunk.words, self.whole_documents],
            }
        )


@dataclass(slots=True)
class Extracted:
    """What was taken from one shard."""

    documents: int = 0
    """Records written."""
    chosen: int = 0
    """Documents, or pieces of documents, that were chosen."""
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
    """int64[len(names), buckets], by who chose the document."""
    reused: bool
    seconds: float

    @property
    def tally(self) -> Tally:
        """For the observer: the documents taken."""
        return Tally(documents=self.extracted.documents)


@dataclass(frozen=True)
class _Chosen:
    """Chosen documents of one file, in order of position."""

    positions: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    log_weights: npt.NDArray[np.float64]
    targets: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64] | None = None

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """Positions without repetition."""
        return self.positions if self.offsets is None else np.unique(self.positions)

    def part(self, first: int, batch: Batch) -> _Chosen:
        """Those from index `first` on that lie in a batch's documents."""
        stop = int(np.searchsorted(self.positions, batch.positions[-1], side="right"))
        mine = slice(first, stop)
        return _Chosen(
            self.positions[mine],
            self.n_tokens[mine],
            self.log_weights[mine],
            self.targets[mine],
            None if self.offsets is None else self.offsets[mine],
        )


def extract_shard(task: ExtractTask) -> ExtractResult:
    """Take a shard's chosen records into the store, or what is there already.

    Raises:
        DamagedFileError: a file cannot be read whole, or no longer holds what was scored.
    """
    begin = time.perf_counter()
    store = Store(task.workdir)
    loaded = store.load("extract", task.key)
    if loaded is not None and (found := _complete(store, loaded[0])) is not None:
        counts = np.load(io.BytesIO(loaded[1]), allow_pickle=False)
        return ExtractResult(found, counts, True, time.perf_counter() - begin)
    counts = np.zeros((len(task.names), task.features.buckets), np.int64)
    extracted = Extracted()
    writer = ExtractWriter(store, f"extract/{task.key}")
    chosen = _read_chosen(store, task)
    with writer:
        for piece in task.shard.pieces:
            if piece.file.path in chosen:
                _extract_piece(task, piece, chosen[piece.file.path], writer, counts, extracted)
    extracted.files = writer.files
    with store.checkpoint("extract", task.key, ".npy", extracted.to_json()) as draft:
        np.save(draft.stream, counts, allow_pickle=False)
    return ExtractResult(extracted, counts, False, time.perf_counter() - begin)


def _complete(store: Store, receipt: Receipt) -> Extracted | None:
    found = Extracted.from_json(receipt.summary)
    for file in found.files:
        if not file.is_whole(store):
            warn(f"checkpoint {store.shown}/{file.name} is damaged or gone: done again")
            return None
    return found


def _read_chosen(store: Store, task: ExtractTask) -> dict[str, _Chosen]:
    """Chosen documents by file. Holds a few numbers for each chosen document of one shard."""
    with store.open(task.selection.name) as stream:
        table = pq.read_table(stream)
    by_file: dict[str, _Chosen] = {}
    files = table.column("file").cast(pa.string()).to_numpy()
    edges = [0, *(np.flatnonzero(files[1:] != files[:-1]) + 1), len(files)] if len(files) else [0]
    order = {name: index for index, name in enumerate(task.names)}
    targets = np.array([order[name] for name in table.column("target").to_pylist()], np.int32)
    for start, stop in itertools.pairwise(edges):
        rows = table.slice(start, stop - start)
        by_file[files[start]] = _Chosen(
            rows.column("position").to_numpy(),
            rows.column("n_tokens").to_numpy(),
            rows.column("log_weight").to_numpy(),
            targets[start:stop],
            rows.column(OFFSET).to_numpy() if OFFSET in rows.column_names else None,
        )
    return by_file


def _extract_piece(
    task: ExtractTask,
    piece: Piece,
    chosen: _Chosen,
    writer: ExtractWriter,
    counts: npt.NDArray[np.int64],
    extracted: Extracted,
) -> None:
    done = 0
    for batch in _chosen_batches(task, piece, chosen):
        if not len(batch):
            continue
        mine = chosen.part(done, batch)
        done += len(mine.positions)
        found = batch if mine.offsets is None else _chosen_pieces(task, piece, batch, mine)
        by_whom = np.zeros((len(task.names), task.features.buckets), np.int64)
        for target in range(len(task.names)):
            member = mine.targets == target
            data, offsets = (found.text_data, found.text_offsets) if member.all() else texts_of(found, member)
            n_tokens = count_ngrams(data, offsets, task.features, by_whom[target])
            if not np.array_equal(n_tokens, mine.n_tokens[member]):
                raise _changed(piece)
        if mine.offsets is not None and task.whole_documents:
            counts[mine.targets[0]] += _count_whole(task, batch)
        else:
            counts += by_whom
        records = batch.records if mine.offsets is None or task.whole_documents else pieces_as_lines(piece, found)
        writer.add(records)
        extracted.documents += len(records)
        extracted.chosen += len(found)


def _changed(piece: Piece) -> DamagedFileError:
    return damaged(piece.file, "no longer holds the documents that were scored")


def _chosen_pieces(task: ExtractTask, piece: Piece, batch: Batch, chosen: _Chosen) -> Batch:
    """The chosen pieces of whole documents.

    Raises:
        DamagedFileError: they are not there.
    """
    assert task.chunk is not None
    assert chosen.offsets is not None
    pieces = cut_batch(batch, task.chunk.words)
    assert pieces.offsets is not None
    wanted = set(zip(chosen.positions.tolist(), chosen.offsets.tolist(), strict=True))
    there = zip(pieces.positions.tolist(), pieces.offsets.tolist(), strict=True)
    mask = np.array([place in wanted for place in there], bool)
    if mask.sum() != len(wanted):
        raise _changed(piece)
    data, offsets = texts_of(pieces, mask)
    return Batch(pieces.positions[mask], data, offsets, offsets=pieces.offsets[mask])


def pieces_as_lines(piece: Piece, pieces: Batch) -> list[bytes]:
    """JSON lines of pieces: their text, and where it stands."""
    assert pieces.offsets is not None
    lines = []
    for i, (position, offset) in enumerate(zip(pieces.positions.tolist(), pieces.offsets.tolist(), strict=True)):
        text = bytes(pieces.text_data[pieces.text_offsets[i] : pieces.text_offsets[i + 1]]).decode()
        line = {"text": text, "file": piece.file.path, "position": position, "offset": offset}
        lines.append(json.dumps(line, ensure_ascii=False).encode())
    return lines


def _count_whole(task: ExtractTask, batch: Batch) -> npt.NDArray[np.int64]:
    counts = np.zeros(task.features.buckets, np.int64)
    count_ngrams(batch.text_data, batch.text_offsets, task.features, counts)
    return counts


def _chosen_batches(task: ExtractTask, piece: Piece, chosen: _Chosen) -> Iterator[Batch]:
    return read_piece(piece, task.read, keep_records=True, positions=chosen.documents)
