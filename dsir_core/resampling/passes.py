"""What one group of shards does for the global resampling: histograms of keys, ties, strata, sums of weights."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.store import Store
from dsir_core.corpus.fields import MAX_STRATA
from dsir_core.errors import RequestError
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.keys import Chooser, Cut, Search, View, eligible
from dsir_core.resampling.radix import DigitQuery, Histogram, HistogramSum, Unit, digit_histogram
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import by_stratum, read_rows


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
    wanted: tuple[DigitQuery, ...]


def part_histograms(task: HistogramTask) -> list[Histogram]:
    """For each wanted (search, prefix) the histogram of the digit at the task's level, over all parts."""
    sums = [HistogramSum() for _ in task.wanted]
    by_search: dict[int, list[tuple[int, HistogramSum]]] = {}
    for total, (search, prefix) in zip(sums, task.wanted, strict=True):
        by_search.setdefault(search, []).append((prefix, total))
    for part in task.parts:
        for bits, n_tokens, index in _free_keys(task.workdir, part, task.min_tokens, by_search):
            for prefix, total in by_search[index]:
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
    documents = size = fitting = 0
    for bits, n_tokens, _ in _free_keys(task.workdir, part, task.min_tokens, [goal.search]):
        tied = n_tokens[bits == np.uint64(goal.bits)].astype(np.int64)
        sizes = tied if goal.unit == "tokens" else np.ones(len(tied), np.int64)
        if fitting == documents:  # the run of those that fit is not yet broken
            fitting += int(np.searchsorted(np.cumsum(sizes), goal.amount - size, side="right"))
        documents += len(tied)
        size += int(sizes.sum())
    return documents, size, fitting


def _free_keys(
    workdir: str, part: WeightsPart, min_tokens: int, wanted: Collection[int]
) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], int]]:
    """Keys uint64[n] and tokens int32[n] of each wanted search, by its index, some rows at a time."""
    searches = {index: part.searches[index] for index in sorted(wanted)}
    for view, taken in _views(workdir, part.weights, min_tokens, list(searches.values())):
        for index, search in searches.items():
            free = view.candidates(search.ranking) & ~taken[search.earlier]
            yield view.bits(search.ranking)[free], view.rows.n_tokens[free], index


def _views(
    workdir: str, weights: str, min_tokens: int, searches: Sequence[Search]
) -> Iterator[tuple[View, dict[tuple[Cut, ...], npt.NDArray[np.bool_]]]]:
    """Rows of a shard, and by the searches' earlier cuts what those have chosen."""
    rankings = [
        ranking for search in searches for ranking in (search.ranking, *(cut.ranking for cut in search.earlier))
    ]
    columns = tuple(dict.fromkeys(column for ranking in rankings for column in ranking.columns))
    choosers = {search.earlier: Chooser(search.earlier, min_tokens) for search in searches}
    for rows in read_rows(Store(workdir), weights, columns):
        view = View(rows, min_tokens)
        yield view, {earlier: chooser.choose(view) >= 0 for earlier, chooser in choosers.items()}


@dataclass(frozen=True)
class StrataTask:
    """Some shards' documents by stratum, that a search may still choose."""

    workdir: str
    parts: tuple[WeightsPart, ...]
    """Each with one search, over all strata."""
    min_tokens: int


Strata = dict[str, tuple[int, int]]
"""By stratum: documents, and their tokens."""


def part_strata(task: StrataTask) -> Strata:
    """Free documents and tokens by stratum."""
    found: Strata = {}
    for part in task.parts:
        (search,) = part.searches
        for view, taken in _views(task.workdir, part.weights, task.min_tokens, [search]):
            free = view.candidates(search.ranking) & ~taken[search.earlier]
            for name, documents, tokens in by_stratum(view.rows, free):
                before = found.get(name, (0, 0))
                found[name] = before[0] + documents, before[1] + tokens
    return found


def add_strata(parts: Sequence[Strata]) -> Strata:
    """The sums of some shards' strata."""
    names = sorted({name for part in parts for name in part})
    if len(names) > MAX_STRATA:
        raise RequestError(f"the field of strata has over {MAX_STRATA:,} values: choose one with fewer")
    found = {}
    for name in names:
        mine = [part[name] for part in parts if name in part]
        found[name] = sum(documents for documents, _ in mine), sum(tokens for _, tokens in mine)
    return found


@dataclass(frozen=True)
class SizesTask:
    """Some shards' part in the effective sample sizes at several temperatures."""

    workdir: str
    weights: tuple[str, ...]
    """Names of weights files."""
    column: str
    scaling: WeightScaling
    """Of which the length counts, and the temperature does not."""
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
            plain = task.scaling.normalised(rows.log_weights[task.column], rows.n_tokens)
            plain = plain[eligible(rows, task.min_tokens)]
            sums = [
                total.merge(WeightSums.of(plain / temperature))
                for total, temperature in zip(sums, task.temperatures, strict=True)
            ]
    return sums
