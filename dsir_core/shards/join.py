"""Scores of a table joined to the documents of some shards, in memory bounded by the documents of those shards.

The documents' keys are held as hashes, sorted, and the table streams past them: a block nested-loop join. Groups are
as large as memory allows, since each reads the whole table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.kinds import EXTERNAL
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.config.settings import ExternalSettings
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard, SourceFile
from dsir_core.errors import DamagedFileError
from dsir_core.external.keys import key_strings, string_hashes
from dsir_core.external.lookup import match
from dsir_core.external.scores import FINE, NO_KEY, NOT_IN_TABLE, DocumentScores
from dsir_core.external.table import TableRows, read_table
from dsir_core.kernels.cache_key import read_only
from dsir_core.shards.reading import identity, quarantining, read_shard

_Keys = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class JoinTask:
    """Some shards whose documents want their scores."""

    workdir: str
    shards: tuple[Shard, ...]
    read: ReadSettings
    settings: ExternalSettings
    table: tuple[SourceFile, ...]

    def key_of(self, shard: Shard) -> str:
        """Key of one shard's checkpoint."""
        return EXTERNAL.key(
            {
                "shard": identity(shard, self.read),
                "key": self.settings.key,
                "column": self.settings.column,
                "table": [[file.path, file.url, file.size, file.version] for file in self.table],
            }
        )


@dataclass(frozen=True)
class JoinResult:
    """Where the scores lie."""

    receipts: tuple[Receipt | DamagedFileError, ...]
    """One for each shard, or what is wrong with a file of it."""
    reused: int
    """Shards whose scores were there."""
    seconds: float


class KeyLookup:
    """Scores of documents by key, as the table streams past.

    Args:
        first, second: uint64[n], the two hashes of each document's key.
        there: bool[n], whether the document has one.
    """

    def __init__(
        self, first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64], there: npt.NDArray[np.bool_]
    ) -> None:
        self._order = np.lexsort((second, first))
        self._sorted, self._second = first[self._order], second[self._order]
        self._there = there
        self._scores = np.full(len(first), np.nan)
        self._status = np.full(len(first), NOT_IN_TABLE, np.uint8)
        self._seen = np.zeros(len(first), np.uint8)

    def offer(self, rows: TableRows) -> None:
        """Take what documents want of some rows of the table, which come in order."""
        first, second = string_hashes(rows.keys)
        match(
            self._sorted,
            self._second,
            first,
            second,
            read_only(rows.scores, np.float64),
            read_only(rows.status, np.uint8),
            self._scores,
            self._status,
            self._seen,
        )

    def found(self) -> DocumentScores:
        """What all documents got, in their order."""
        scores, status = np.empty(len(self._order)), np.empty(len(self._order), np.uint8)
        duplicates = np.empty(len(self._order), bool)
        scores[self._order], status[self._order], duplicates[self._order] = self._scores, self._status, self._seen > 1
        scores[~self._there], status[~self._there], duplicates[~self._there] = np.nan, NO_KEY, False
        scores[status != FINE] = np.nan
        return DocumentScores(scores, status, duplicates)


def join_shards(task: JoinTask) -> JoinResult:
    """Write the scores of each shard's documents to the store, or take those that are there.

    Raises:
        DamagedFileError: a file of the table cannot be read whole.
        RequestError: a file has no such column.
    """
    begin = time.perf_counter()
    store = Store(task.workdir)
    receipts: dict[int, Receipt | DamagedFileError] = {}
    keys: dict[int, _Keys] = {}
    for i, shard in enumerate(task.shards):
        if receipt := store.intact(EXTERNAL.folder, task.key_of(shard)):
            receipts[i] = receipt
            continue
        try:
            keys[i] = _keys(task, store, shard)
        except DamagedFileError as error:
            receipts[i] = error
    reused = sum(isinstance(receipt, Receipt) for receipt in receipts.values())
    if keys:
        first, second, has_key = (np.concatenate(parts) for parts in zip(*keys.values(), strict=True))
        lookup = KeyLookup(first, second, has_key)
        assert task.settings.key is not None
        for rows in read_table(task.table, task.settings.key, task.settings.column):
            lookup.offer(rows)
        found = lookup.found()
        stop = 0
        for i, (mine, *_) in keys.items():
            start, stop = stop, stop + len(mine)
            summary = {"documents": stop - start}
            with store.checkpoint(EXTERNAL.folder, task.key_of(task.shards[i]), EXTERNAL.suffix, summary) as draft:
                found.part(start, stop).write(draft.stream)
            receipts[i] = draft.sealed
    return JoinResult(tuple(receipts[i] for i in range(len(task.shards))), reused, time.perf_counter() - begin)


def _keys(task: JoinTask, store: Store, shard: Shard) -> _Keys:
    """Hashes of the keys of a shard's documents, and which have one."""
    assert task.settings.key is not None
    parts = [(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, bool))]
    tally = Tally()
    with quarantining(store, shard, task.read, tally, write=False) as quarantine:
        for _, batch in read_shard(shard, task.read, tally, quarantine, fields=(task.settings.key,)):
            texts, there = key_strings([values[0] for values in batch.fields])
            parts.append((*string_hashes(texts), there))
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )
