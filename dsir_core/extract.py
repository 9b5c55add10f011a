"""The chosen records of one shard, taken from their source files into the store, and their n-gram counts."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.corpus.batches import texts_of
from dsir_core.corpus.read import read_piece
from dsir_core.corpus.storage import damaged
from dsir_core.corpus.types import Batch, Piece, ReadSettings, Shard
from dsir_core.digests import digest
from dsir_core.ngrams import TOKENIZER_VERSION, count_ngrams
from dsir_core.ngrams.settings import FeatureSettings
from dsir_core.parts import ExtractFile, ExtractWriter
from dsir_core.remote.retries import warn
from dsir_core.shard_work import identity
from dsir_core.store import Receipt, Store
from dsir_core.tally import Tally

EXTRACT_VERSION = "extract-v3"


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
            }
        )


@dataclass(slots=True)
class Extracted:
    """What was taken from one shard."""

    documents: int = 0
    files: list[ExtractFile] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Extracted:
        """Inverse of `to_json`."""
        return cls(value["documents"], [ExtractFile(**file) for file in value["files"]])


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
        mine = slice(done, done + len(batch))
        done += len(batch)
        for target in range(len(task.names)):
            member = chosen.targets[mine] == target
            data, offsets = (batch.text_data, batch.text_offsets) if member.all() else texts_of(batch, member)
            n_tokens = count_ngrams(data, offsets, task.features, counts[target])
            if not np.array_equal(n_tokens, chosen.n_tokens[mine][member]):
                raise damaged(piece.file, "no longer holds the documents that were scored")
        writer.add(batch.records)
        extracted.documents += len(batch)


def _chosen_batches(task: ExtractTask, piece: Piece, chosen: _Chosen) -> Iterator[Batch]:
    return read_piece(piece, task.read, keep_records=True, positions=chosen.positions)
