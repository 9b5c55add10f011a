"""Which documents are chosen: keys, ties, and what one shard does for the global resampling.

`key = log_weight / temperature + Gumbel(0, 1)`; the k documents with the largest keys are an exact sample without
replacement in proportion to the importance weights (Gumbel top-k; paper section 3, reference `DSIR.resample`).
Documents under `min_tokens` are not eligible. Several separate targets choose in order, each among what the earlier
ones left.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.metrics import WeightSums
from dsir_core.noise import gumbel
from dsir_core.radix import Histogram, HistogramSum, Unit, Wanted, digit_histogram, order_bits
from dsir_core.settings import LengthNormalise, Method
from dsir_core.spread import REFERENCE, Spread
from dsir_core.store import Store

READ_ROWS = 1 << 18


@dataclass(frozen=True)
class Ranking:
    """What orders the documents for one target."""

    method: Method
    seed: int
    target: int
    """Index of the target: each has noise of its own."""
    column: str
    """Column of the weights file."""
    spread: Spread = REFERENCE


@dataclass(frozen=True)
class Cut:
    """A ranking's threshold as one shard applies it."""

    ranking: Ranking
    bits: int
    ties: int
    """How many documents of this shard with key equal to `bits` are taken, in order of (file, position)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one target takes under a ranking, of all shards."""

    ranking: Ranking
    bits: int
    ties: npt.NDArray[np.int64]
    """int64[shards]: how many documents with key equal to `bits` each shard takes."""

    def at(self, shard: int) -> Cut:
        """As one shard applies it."""
        return Cut(self.ranking, self.bits, int(self.ties[shard]))


@dataclass(frozen=True)
class Rows:
    """Documents of a shard, in order of (file, position), as NumPy columns."""

    file_codes: npt.NDArray[np.int32]
    files: list[str]
    positions: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    log_weights: dict[str, npt.NDArray[np.float64]]
    """By column of the weights file."""

    def __len__(self) -> int:
        return len(self.positions)


def keys_of(rows: Rows, ranking: Ranking) -> npt.NDArray[np.float64]:
    """Keys of documents under a ranking: float64[n]."""
    if ranking.method == "top-k":
        return ranking.spread.plain(rows.log_weights[ranking.column], rows.n_tokens)
    noise = np.empty(len(rows), np.float64)
    edges = np.flatnonzero(np.diff(rows.file_codes, prepend=-1, append=-1))
    for start, stop in itertools.pairwise(edges):
        path = rows.files[rows.file_codes[start]]
        noise[start:stop] = gumbel(rows.positions[start:stop], ranking.seed, ranking.target, path)
    if ranking.method == "random":
        return noise
    return ranking.spread.preferences(rows.log_weights[ranking.column], rows.n_tokens) + noise


def eligible(rows: Rows, min_tokens: int) -> npt.NDArray[np.bool_]:
    """bool[n]: documents of at least `min_tokens` tokens that have a log weight."""
    enough = rows.n_tokens >= min_tokens
    for log_weights in rows.log_weights.values():
        enough &= ~np.isnan(log_weights)
    return enough


class Chooser:
    """Applies cuts, in order, to the rows of one shard; remembers how many ties it has taken."""

    def __init__(self, cuts: tuple[Cut, ...], min_tokens: int) -> None:
        self._cuts = cuts
        self._min_tokens = min_tokens
        self._ties = [cut.ties for cut in cuts]

    def eligible(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """bool[n]: documents of at least `min_tokens` tokens that have a log weight."""
        return eligible(rows, self._min_tokens)

    def choose(self, rows: Rows) -> npt.NDArray[np.int32]:
        """int32[n]: index of the cut that chose each document, -1 where none did. Rows must come in order."""
        chosen = np.full(len(rows), -1, np.int32)
        free = self.eligible(rows)
        for index, cut in enumerate(self._cuts):
            bits = order_bits(keys_of(rows, cut.ranking))
            taken = free & (bits > np.uint64(cut.bits))
            if self._ties[index]:
                equal = np.flatnonzero(free & (bits == np.uint64(cut.bits)))[: self._ties[index]]
                taken[equal] = True
                self._ties[index] -= len(equal)
            chosen[taken] = index
            free &= ~taken
        return chosen


def read_rows(store: Store, name: str, columns: tuple[str, ...]) -> Iterator[Rows]:
    """Rows of a weights file, a bounded number at a time.

    Args:
        columns: which log-weight columns to read.
    """
    with store.open(name) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
        wanted = ["file", "position", "n_tokens", *columns]
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=wanted):
            yield rows_of(batch, columns)


def rows_of(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Rows:
    """NumPy columns of a record batch of weights."""
    files = batch.column("file")
    return Rows(
        files.indices.to_numpy(zero_copy_only=False),
        files.dictionary.to_pylist(),
        batch.column("position").to_numpy(),
        batch.column("n_tokens").to_numpy(),
        {column: batch.column(column).to_numpy() for column in columns},
    )


@dataclass(frozen=True)
class Search:
    """A set of keys of one shard: the eligible documents that no earlier cut has chosen, under a ranking."""

    ranking: Ranking
    earlier: tuple[Cut, ...]


@dataclass(frozen=True)
class WeightsPart:
    """One shard's weights, and the searches over them."""

    weights: str
    """Name of the shard's weights file."""
    searches: tuple[Search, ...]


@dataclass(frozen=True)
class HistogramTask:
    """Some shards' part of one level of the radix selection."""

    workdir: str
    parts: tuple[WeightsPart, ...]
    min_tokens: int
    level: int
    wanted: tuple[Wanted, ...]


def part_histograms(task: HistogramTask) -> list[Histogram]:
    """For each wanted (search, prefix) the histogram of the digit at the task's level, over all parts."""
    sums = [HistogramSum() for _ in task.wanted]
    for part in task.parts:
        choosers = [Chooser(search.earlier, task.min_tokens) for search in part.searches]
        for rows in read_rows(Store(task.workdir), part.weights, _columns(part.searches)):
            for index, (search, chooser) in enumerate(zip(part.searches, choosers, strict=True)):
                bits, n_tokens = _free_keys(rows, search, chooser)
                for total, (wanted, prefix) in zip(sums, task.wanted, strict=True):
                    if wanted == index:
                        total.add(digit_histogram(bits, n_tokens, task.level, prefix))
    return [total.sparse() for total in sums]


@dataclass(frozen=True)
class TieGoal:
    """A threshold with ties to be shared out."""

    search: int
    bits: int
    unit: Unit
    amount: int
    """Documents or tokens that are left for ties."""


@dataclass(frozen=True)
class TieTask:
    """Counts some shards' documents with exactly a threshold's key."""

    workdir: str
    parts: tuple[WeightsPart, ...]
    min_tokens: int
    goal: TieGoal


@dataclass(frozen=True)
class Ties:
    """Documents of each of some shards that tie at the threshold: int64[shards] each."""

    documents: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    """Documents or tokens, by the goal's unit."""
    fitting: npt.NDArray[np.int64]
    """How many of them, from the shard's first on, fit into the goal's amount."""


def part_ties(task: TieTask) -> Ties:
    """Ties of each part."""
    found = np.array([_ties(task, part) for part in task.parts], np.int64)
    return Ties(found[:, 0], found[:, 1], found[:, 2])


def _ties(task: TieTask, part: WeightsPart) -> tuple[int, int, int]:
    goal = task.goal
    search = part.searches[goal.search]
    chooser = Chooser(search.earlier, task.min_tokens)
    documents = size = fitting = 0
    for rows in read_rows(Store(task.workdir), part.weights, _columns((search,))):
        bits, n_tokens = _free_keys(rows, search, chooser)
        tied = n_tokens[bits == np.uint64(goal.bits)].astype(np.int64)
        sizes = tied if goal.unit == "tokens" else np.ones(len(tied), np.int64)
        if fitting == documents:  # the run of those that fit is not yet broken
            fitting += int(np.searchsorted(np.cumsum(sizes), goal.amount - size, side="right"))
        documents += len(tied)
        size += int(sizes.sum())
    return documents, size, fitting


def _columns(searches: tuple[Search, ...]) -> tuple[str, ...]:
    rankings = [
        ranking for search in searches for ranking in (search.ranking, *(cut.ranking for cut in search.earlier))
    ]
    return tuple(dict.fromkeys(ranking.column for ranking in rankings))


def _free_keys(rows: Rows, search: Search, chooser: Chooser) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    free = chooser.eligible(rows) & (chooser.choose(rows) < 0)
    return order_bits(keys_of(rows, search.ranking))[free], rows.n_tokens[free]


@dataclass(frozen=True)
class SizesTask:
    """Some shards' part in the effective sample sizes at several temperatures."""

    workdir: str
    weights: tuple[str, ...]
    """Names of weights files."""
    column: str
    length: LengthNormalise
    temperatures: tuple[float, ...]
    min_tokens: int


def add_sizes(parts: Sequence[Sequence[WeightSums]]) -> list[WeightSums]:
    """The sums of some lists of sums, place by place."""
    return [functools.reduce(WeightSums.merge, sums) for sums in zip(*parts, strict=True)]


def part_sizes(task: SizesTask) -> list[WeightSums]:
    """Sums over the eligible documents, for each temperature."""
    sums = [WeightSums() for _ in task.temperatures]
    for name in task.weights:
        for rows in read_rows(Store(task.workdir), name, (task.column,)):
            plain = Spread(1.0, task.length).plain(rows.log_weights[task.column], rows.n_tokens)
            plain = plain[eligible(rows, task.min_tokens)]
            sums = [
                total.merge(WeightSums.of(plain / temperature))
                for total, temperature in zip(sums, task.temperatures, strict=True)
            ]
    return sums
