"""Global thresholds over the stored weights of many shards: passes of work over groups of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dsir_core.config.methods import BASELINE
from dsir_core.resampling.keys import EVERYONE, GlobalCut, Pool, Ranking, Search
from dsir_core.resampling.passes import (
    HistogramTask,
    SizesTask,
    Strata,
    StrataTask,
    TieGoal,
    TieTask,
    WeightsPart,
    add_sizes,
    add_strata,
    part_histograms,
    part_sizes,
    part_strata,
    part_ties,
)
from dsir_core.resampling.radix import (
    DigitQuery,
    Goal,
    HistogramSum,
    Threshold,
    Unit,
    add_histograms,
    find_thresholds,
    keys_of_bits,
)
from dsir_core.resampling.scaling import WeightScaling, find_temperature
from dsir_core.runtime.executor import Executor, LazySequence

GROUP_DOCUMENTS = 10_000_000
GROUP_SHARDS = 128
"""A group of shards is one leaf of a reduction: a few seconds of work, and a few megabytes of histograms."""

POOLS_AT_ONCE = 32
"""Whose histograms, a megabyte for each method, one pass over the weights makes."""

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
QUANTILE_LEVELS = 2
"""Digits that a quantile settles: 32 of 64 bits, a relative error below 1e-6."""

STAGE = "resample"

Cuts = tuple[GlobalCut, ...]
"""One for each target that has chosen."""

_Search = tuple[Ranking, Cuts]
"""A ranking, and the cuts that have chosen before."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ShardWeights:
    """One shard's stored weights."""

    name: str
    documents: int


@dataclass(frozen=True)
class Eligible:
    """Documents of at least `min_tokens` tokens that are left to a target, and their tokens."""

    documents: int
    tokens: int


def temperature_of(
    executor: Executor,
    workdir: str,
    shards: Sequence[ShardWeights],
    column: str,
    scaling: WeightScaling,
    min_tokens: int,
    share: float,
) -> float:
    """The temperature at which a column's effective sample size is a share of the eligible documents."""

    def sizes(temperatures: Sequence[float]) -> tuple[list[float], int]:
        # Groups do not depend on who works: sums of floats depend on how they are grouped.
        def task(index: int) -> SizesTask:
            group = shards[index * GROUP_SHARDS : (index + 1) * GROUP_SHARDS]
            names = tuple(shard.name for shard in group)
            return SizesTask(workdir, names, column, scaling, tuple(temperatures), min_tokens)

        tasks = LazySequence(-(-len(shards) // GROUP_SHARDS), task)
        if not tasks:
            return [0.0 for _ in temperatures], 0
        totals = executor.reduce(part_sizes, tasks, add_sizes, name=STAGE)
        return [total.effective_sample_size for total in totals], totals[0].n

    return find_temperature(share, sizes)


@dataclass
class Thresholds:
    """Threshold searches over one set of weights.

    Memory is a megabyte for each search and quantile, and for each shard its name and, for each target and method,
    one integer: nothing that grows with documents.
    """

    executor: Executor
    workdir: str
    shards: Sequence[ShardWeights]
    columns: Sequence[str]
    """Log-weight columns, one for each target that selects."""
    seed: int
    min_tokens: int
    spreads: Sequence[WeightScaling]
    """One for each of `columns`."""

    def __post_init__(self) -> None:
        self._groups = list(self._grouped())

    def ranking(self, method: str, target: int, pool: Pool = EVERYONE) -> Ranking:
        """How a method orders the documents of a pool for a target."""
        return Ranking(method, self.seed, target, self.columns[target], self.spreads[target], pool)

    def strata(self, target: int, earlier: Cuts, pool: Pool = EVERYONE) -> Strata:
        """Documents and tokens by stratum that earlier cuts have left to a target."""
        search = (self.ranking(BASELINE, target, pool), earlier)
        tasks = self._tasks([search], lambda parts: StrataTask(self.workdir, parts, self.min_tokens))
        return self.executor.reduce(part_strata, tasks, add_strata, name=STAGE) if tasks else {}

    def cut_pools(
        self, target: int, earlier: Mapping[str, Cuts], pools: Sequence[Pool], amounts: Sequence[int], unit: Unit
    ) -> dict[str, Cuts]:
        """Let one target choose given amounts from pools that do not overlap, under each method of `earlier`.

        Returns:
            By method the cuts with this target's added, one for each pool.
        """
        cuts = dict(earlier)
        for start in range(0, len(pools), POOLS_AT_ONCE):
            some = [
                (method, self.ranking(method, target, pool), amount)
                for method in earlier
                for pool, amount in zip(
                    pools[start : start + POOLS_AT_ONCE], amounts[start : start + POOLS_AT_ONCE], strict=True
                )
            ]
            searches = [(ranking, earlier[method]) for method, ranking, _ in some]
            goals = [Goal(search, amount, unit) for search, (_, _, amount) in enumerate(some)]
            found = self._find(searches, lambda _, goals=goals: goals)  # type: ignore[misc]
            for (method, ranking, _), threshold, search in zip(some, found, searches, strict=True):
                cuts[method] = (*cuts[method], GlobalCut(ranking, threshold.bits, self._share_ties(search, threshold)))
        return cuts

    def quantiles(self, target: int, earlier: Cuts) -> dict[str, float]:
        """Quantiles of a target's log weights over the eligible documents that earlier cuts have left."""

        def goals(sums: list[HistogramSum]) -> list[Goal]:
            return _quantile_goals(0, int(sums[0].documents.sum()))

        return _by_quantile(self._find([(self.ranking(BASELINE, target), earlier)], goals))

    def eligible(self, target: int) -> Eligible:
        """All documents that are eligible for a target."""
        (total,) = self._pass([(self.ranking(BASELINE, target), ())], 0, [(0, 0)])
        return Eligible(int(total.documents.sum()), int(total.tokens.sum()))

    def _find(
        self, searches: Sequence[_Search], make_goals: Callable[[list[HistogramSum]], Sequence[Goal]]
    ) -> list[Threshold]:
        return find_thresholds(len(searches), make_goals, lambda level, wanted: self._pass(searches, level, wanted))

    def cut_target(
        self,
        target: int,
        earlier: Mapping[str, Cuts],
        goal: Callable[[Eligible], tuple[int, Unit]],
        pool: Pool = EVERYONE,
    ) -> tuple[dict[str, Cuts], dict[str, float], Eligible]:
        """Let one target choose under each method of `earlier`, among what that method's earlier cuts left.

        Args:
            target: index of the target.
            earlier: by method the cuts made before; one of the methods is `BASELINE`.
            goal: (amount, unit) of the target, given what is eligible.
            pool: which documents it chooses from.

        Returns:
            By method the cuts with this target's added; quantiles of the target's log weights over the eligible
            documents (when it is the first target; else over those left to it by `BASELINE`); what is eligible.
        """
        methods = list(earlier)
        searches = [(self.ranking(method, target, pool), earlier[method]) for method in methods]
        eligible: list[Eligible] = []

        def goals(sums: list[HistogramSum]) -> list[Goal]:
            eligible.extend(Eligible(int(total.documents.sum()), int(total.tokens.sum())) for total in sums)
            amount, unit = goal(eligible[0])
            mine = [Goal(search, amount, unit) for search in range(len(methods))]
            return mine + _quantile_goals(methods.index(BASELINE), eligible[methods.index(BASELINE)].documents)

        found = self._find(searches, goals)
        cuts = {
            method: (*before, GlobalCut(ranking, threshold.bits, self._share_ties((ranking, before), threshold)))
            for method, (ranking, before), threshold in zip(methods, searches, found, strict=False)
        }
        return cuts, _by_quantile(found[len(methods) :]), eligible[0]

    def _pass(self, searches: Sequence[_Search], level: int, wanted: Sequence[DigitQuery]) -> list[HistogramSum]:
        def task(parts: tuple[WeightsPart, ...]) -> HistogramTask:
            return HistogramTask(self.workdir, parts, self.min_tokens, level, tuple(wanted))

        sums = [HistogramSum() for _ in wanted]
        if self._groups:
            tasks = self._tasks(searches, task)
            whole = self.executor.reduce(part_histograms, tasks, add_histograms, name=STAGE)
            for total, histogram in zip(sums, whole, strict=True):
                total.add(histogram)
        return sums

    def _share_ties(self, search: _Search, threshold: Threshold) -> npt.NDArray[np.int64] | None:
        """How many documents that tie at the threshold each shard takes: the first in order of (file, position)."""
        if not threshold.ties:
            return None
        documents, size = np.zeros((2, len(self.shards)), np.int64)
        goal = TieGoal(0, threshold.bits, threshold.unit, threshold.ties)

        def task(parts: tuple[WeightsPart, ...]) -> TieTask:
            return TieTask(self.workdir, parts, self.min_tokens, goal)

        for index, ties in self._map(part_ties, self._tasks([search], task)):
            start, stop = self._groups[index]
            documents[start:stop], size[start:stop] = ties.documents, ties.size
        taken = np.cumsum(size)
        n_whole = int(np.searchsorted(taken, threshold.ties, side="right"))
        documents[n_whole + 1 :] = 0
        if n_whole < len(self.shards):
            left = threshold.ties - int(taken[n_whole - 1] if n_whole else 0)
            last = TieTask(self.workdir, (self._part(n_whole, [search]),), self.min_tokens, replace(goal, amount=left))
            ((_, rest),) = self._map(part_ties, [last])
            documents[n_whole] = rest.fitting[0]
        return documents

    def _tasks(
        self, searches: Sequence[_Search], make: Callable[[tuple[WeightsPart, ...]], Task]
    ) -> LazySequence[Task]:
        """A task for each group of shards."""
        return LazySequence(
            len(self._groups),
            lambda index: make(tuple(self._part(shard, searches) for shard in range(*self._groups[index]))),
        )

    def _part(self, shard: int, searches: Sequence[_Search]) -> WeightsPart:
        return WeightsPart(
            self.shards[shard].name,
            tuple(Search(ranking, tuple(chosen.at(shard) for chosen in earlier)) for ranking, earlier in searches),
        )

    def _grouped(self) -> Iterator[tuple[int, int]]:
        """Shards [start, stop) of enough documents that the work is worth a task."""
        limit = min(GROUP_SHARDS, -(-len(self.shards) // (2 * self.executor.n_workers)))
        start = documents = 0
        for index, shard in enumerate(self.shards, start=1):
            documents += shard.documents
            if documents >= GROUP_DOCUMENTS or index - start >= limit or index == len(self.shards):
                yield start, index
                start, documents = index, 0

    def _map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        for outcome in self.executor.map(function, tasks, name=STAGE):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            yield outcome.index, outcome.result


def _by_quantile(found: Sequence[Threshold]) -> dict[str, float]:
    values = keys_of_bits(np.array([threshold.bits for threshold in found], np.uint64))
    return dict(zip([f"{q:g}" for q in QUANTILES], map(float, values), strict=False))


def _quantile_goals(search: int, n: int) -> list[Goal]:
    """The k-th largest of n is the quantile 1 - (k - 1) / (n - 1), at the nearest rank."""
    ranks = [1 + round((1 - q) * (n - 1)) for q in QUANTILES] if n else []
    return [Goal(search, rank, levels=QUANTILE_LEVELS) for rank in ranks]
