"""Weights of corpora that nobody has: written shard by shard, or only what statistics says of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import FileRange, Shard, SourceFile
from dsir_core.digests import digest, hash64
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.copies import CopyCounts
from dsir_core.resampling.overview import Overview
from dsir_core.resampling.passes import HistogramTask, Ties, TieTask, part_histograms, part_ties
from dsir_core.resampling.radix import BINS, DIGIT_BITS, Histogram, keys_of_bits, order_bits
from dsir_core.resampling.weights_schema import weights_schema
from dsir_core.runtime.executor import Executor, Outcome, nothing
from dsir_core.shards.copies import HashTask, IndexResult, MatchResult, MatchTask, hash_shard, match_partition
from dsir_core.shards.count import CountResult, CountTask, count_shard
from dsir_core.shards.excerpts import Weighed, WeighTask, weigh_target
from dsir_core.shards.extract import Extracted, ExtractResult, ExtractTask, extract_shard
from dsir_core.shards.parts import ExtractFile, PartResult, PartTask, write_part
from dsir_core.shards.score import ROW_GROUP_ROWS, ScoreResult, ScoreTask, score_shard
from dsir_core.shards.select import Account, SelectResult, SelectTask, select_shard
from dsir_core.shards.selection_list import SelectedResult, SelectedTask, write_selected

NAME = "target"
MEAN, SPREAD = -300.0, 60.0
"""Log weights of full-length documents: hundreds of nats, here of a logistic distribution."""

TOKENS = 700
"""Mean tokens of a document."""

DOCUMENT_BYTES = 10_000
SELECTED = 0.01
"""Share of the documents that the simulation selects."""


@dataclass(frozen=True)
class Synthetic:
    """A shard whose weights are to be written."""

    workdir: str
    index: int
    documents: int


def source_file(index: int, documents: int) -> SourceFile:
    """A file of a crawl, as a listing of an object store gives it."""
    path = f"crawl-2026-{index // 1000:03d}/part-{index:06d}.jsonl.zst"
    return SourceFile(path, f"s3://corpus/raw/{path}", documents * DOCUMENT_BYTES, digest(index)[:32], "jsonl", "zstd")


def shard_of(index: int, documents: int) -> Shard:
    """A whole compressed file."""
    file = source_file(index, documents)
    return Shard(index, (FileRange(file),), file.size)


def write_weights(task: Synthetic) -> ScoreResult:
    """Weights of a synthetic shard, in the files that scoring writes, where they are not written already."""
    store, key = Store(task.workdir), digest(["synthetic", WEIGHTS.format, task.index, task.documents])
    receipt = store.receipt("weights", key)
    if receipt is not None:
        return ScoreResult(receipt, Tally.from_json(receipt.summary), True, 0.0)
    rng = np.random.default_rng(task.index)
    n = task.documents
    n_tokens = rng.gamma(2.0, TOKENS / 2, n).astype(np.int32)
    positions = np.cumsum(rng.integers(500, 2 * DOCUMENT_BYTES, n))
    file = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [source_file(task.index, n).path])
    columns = [file, positions, n_tokens, rng.logistic(MEAN, SPREAD, n)]
    table = pa.table(columns, schema=weights_schema((NAME,)))
    tally = Tally(n, 0, int(n_tokens.sum(dtype=np.int64)), n * DOCUMENT_BYTES)
    with store.checkpoint("weights", key, ".parquet", tally.to_json()) as draft:
        pq.write_table(table, draft.stream, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True)
    return ScoreResult(draft.sealed, tally, False, 0.0)


# --- what statistics says of a shard -----------------------------------------------------------------------------


def _receipt(kind: str, name: str, n_bytes: int, summary: dict[str, Any]) -> Receipt:
    return Receipt(kind, digest([kind, name]), f"{kind}/{name}.parquet", n_bytes, digest(name), summary)


def _documents(shard: Shard) -> int:
    return shard.n_bytes // DOCUMENT_BYTES


def _tally(shard: Shard) -> Tally:
    n = _documents(shard)
    return Tally(n, 0, n * TOKENS, shard.n_bytes)


def _chosen(name: str, documents: int) -> int:
    """How many documents of a shard are chosen; another number for each shard."""
    return int(documents * SELECTED) + hash64(name) % 100


def count_statistics(task: CountTask) -> CountResult:
    """Counts of a shard."""
    counts = np.full(task.features.buckets, 1 + _documents(task.shard) * TOKENS // task.features.buckets, np.int64)
    counts[task.shard.index % len(counts)] += 1
    return CountResult(counts, _tally(task.shard), False, 1.0)


def score_statistics(task: ScoreTask) -> ScoreResult:
    """Where the weights would lie. Their name holds the number of documents."""
    tally = _tally(task.shard)
    name = f"{task.key}-{tally.documents}"
    return ScoreResult(_receipt("weights", name, 16 * tally.documents, tally.to_json()), tally, False, 1.0)


def _documents_of(weights: str) -> int:
    return int(weights.rpartition("-")[2].removesuffix(".parquet"))


def mark_statistics(task: SelectTask) -> SelectResult:
    """The account of a shard."""
    n = _documents_of(task.weights.name)
    name = f"{task.weights.key}-{n}"
    chosen = _chosen(name, n)
    sums = WeightSums(n, -10.0 - chosen / 100, 1.5, 1.1)
    account = Account(n, n, n * TOKENS, {NAME: chosen}, {NAME: chosen * TOKENS}, chosen // 2, {"log_weight": sums})
    return SelectResult(_receipt("selection", name, 40 * chosen, account.to_json()), account, Overview(), False, 0.1)


def _chosen_of(selection: str) -> int:
    return _chosen(selection.removeprefix("selection/").removesuffix(".parquet"), _documents_of(selection))


def extract_statistics(task: ExtractTask) -> ExtractResult:
    """What would be taken from a shard."""
    chosen = _chosen_of(task.selection.name)
    path = task.shard.ranges[0].file.path
    files = [ExtractFile(f"extract/{task.key}-000.jsonl.zst", "jsonl", chosen, chosen * 10_000, digest(path))]
    counts = np.full((1, task.features.buckets), chosen, np.int64)
    hashes = _receipt("hashes", task.hashes_key, 24 * chosen, {"documents": chosen})
    return ExtractResult(Extracted(chosen, chosen, files), counts, hashes, False, 1.0)


def hash_statistics(task: HashTask) -> IndexResult:
    """Where the index of a target's hashes would lie."""
    return IndexResult(_receipt("hashes", task.key, 0, {"documents": 0}), Tally(), False, 0.0)


def match_statistics(task: MatchTask) -> MatchResult:
    """No copies."""
    return MatchResult(_receipt("copies", task.key, 0, {}), CopyCounts())


def select_statistics(task: SelectedTask) -> SelectedResult:
    """How long the list of chosen documents would be."""
    return SelectedResult(sum(_chosen_of(name) for name in task.selections), digest(len(task.selections)))


def part_statistics(task: PartTask) -> PartResult:
    """How large a part would be."""
    return PartResult(task.name, sum(file.documents for file in task.extracts), sum(f.n_bytes for f in task.extracts))


def histogram_statistics(task: HistogramTask) -> list[Histogram]:
    """Histograms of a group of shards, drawn from the distribution of the keys.

    A draw at one level is a draw from a bin of the level above, so that all passes see the same documents.
    """
    seed = hash64(task.parts[0].weights)
    n = sum(_documents_of(part.weights) for part in task.parts)
    found = []
    for search, prefix in task.wanted:
        documents = _drawn(seed, n, search, task.level, prefix)
        found.append(Histogram.sparse(documents, documents * TOKENS))
    return found


@functools.lru_cache(maxsize=64)
def _drawn(seed: int, n: int, search: int, level: int, prefix: int) -> npt.NDArray[np.int64]:
    """int64[65536]: how many of a group's keys with these higher digits have each digit at the level."""
    if level:
        n = int(_drawn(seed, n, search, level - 1, prefix >> DIGIT_BITS)[prefix & (BINS - 1)])
    rng = np.random.default_rng([seed, search, level, prefix])
    drawn: npt.NDArray[np.int64] = rng.multinomial(n, _shares(level, prefix))
    return drawn


@functools.lru_cache(maxsize=64)
def _shares(level: int, prefix: int) -> npt.NDArray[np.float64]:
    """float64[65536]: share of each digit among the keys with these higher digits."""
    if level > 1:  # a millionth of a key's size: the density is flat
        return np.full(BINS, 1 / BINS)
    shift = 64 - DIGIT_BITS * (level + 1)
    edges = np.array([((prefix << DIGIT_BITS) + digit) << shift for digit in range(BINS)], np.uint64)
    ends = order_bits(np.array([-np.inf, np.inf]))
    below = 1 / (1 + np.exp(-np.clip((keys_of_bits(np.clip(edges, *ends)) - MEAN) / SPREAD, -700, 700)))
    top = min((prefix + 1) << (shift + DIGIT_BITS), int(ends[1]))
    last = 1 / (1 + np.exp(-np.clip((keys_of_bits(np.array([top], np.uint64)) - MEAN) / SPREAD, -700, 700)))
    shares = np.diff(below, append=last)
    return cast(npt.NDArray[np.float64], shares / shares.sum())


def tie_statistics(task: TieTask) -> Ties:
    """One document of each shard ties."""
    one = np.ones(len(task.parts), np.int64)
    return Ties(one, one, one)


def target_statistics(task: WeighTask) -> Weighed:
    """Log weights of some documents of the target."""
    rng = np.random.default_rng(0)
    return Weighed(rng.logistic(MEAN, SPREAD, (1000, 1)), np.full(1000, TOKENS, np.int32))


STATISTICS: dict[Callable[..., Any], Callable[..., Any]] = {
    count_shard: count_statistics,
    score_shard: score_statistics,
    part_histograms: histogram_statistics,
    part_ties: tie_statistics,
    select_shard: mark_statistics,
    extract_shard: extract_statistics,
    write_selected: select_statistics,
    write_part: part_statistics,
    weigh_target: target_statistics,
    hash_shard: hash_statistics,
    match_partition: match_statistics,
}
"""What each function of a shard is replaced by in the simulation."""


class Mocked:
    """An executor that runs statistics in place of what reads and writes shards."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.n_workers = executor.n_workers

    def map(self, function: Any, items: Sequence[Any], *, name: str) -> Iterator[Outcome[Any]]:
        """See `Executor.map`."""
        return self._executor.map(STATISTICS[function], items, name=name)

    def reduce(
        self, function: Any, items: Sequence[Any], join: Any, *, name: str, done: Callable[[], None] = nothing
    ) -> Any:
        """See `Executor.reduce`."""
        return self._executor.reduce(STATISTICS[function], items, join, name=name, done=done)
