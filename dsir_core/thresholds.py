"""Global thresholds over the stored weights of many shards: passes of work over groups of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from dsir_core.executor import Executor
from dsir_core.metrics import WeightSums
from dsir_core.radix import Goal, HistogramSum, Threshold, Wanted, find_thresholds
from dsir_core.sampling import (
    Cut,
    HistogramTask,
    Ranking,
    Search,
    SizesTask,
    TieGoal,
    TieTask,
    WeightsPart,
    part_histograms,
    part_sizes,
    part_ties,
)
from dsir_core.settings import LengthNormalise, Method
from dsir_core.spread import Spread, find_temperature

GROUP_DOCUMENTS = 2_000_000
GROUP_SHARDS = 128
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
QUANTILE_LEVELS = 2
"""Digits that a quantile settles: 32 of 64 bits, a relative error below 1e-6."""

STAGE = "resample"

Cuts = list[tuple[Cut, ...]]
"""For each shard its cuts, one for each target that has chosen."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
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
    length: LengthNormalise,
    min_tokens: int,
    share: float,
) -> float:
    """The temperature at which a column's effective sample size is a share of the eligible documents."""
    groups = [
        tuple(shard.name for shard in shards[start : start + GROUP_SHARDS])
        for start in range(0, len(shards), GROUP_SHARDS)
    ]

    def sizes(temperatures: Sequence[float]) -> tuple[list[float], int]:
        tasks = [SizesTask(workdir, group, column, length, tuple(temperatures), min_tokens) for group in groups]
        found: dict[int, list[WeightSums]] = {}
        for outcome in executor.map(part_sizes, tasks, name=STAGE):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            found[outcome.index] = outcome.result
        totals = [WeightSums() for _ in temperatures]
        for index in range(len(tasks)):  # in order: sums of floats depend on it
            totals = [total.merge(part) for total, part in zip(totals, found[index], strict=True)]
        return [total.effective_sample_size for total in totals], totals[0].n

    return find_temperature(share, sizes)


@dataclass
class Thresholds:
    """Threshold searches over one set of weights.

    Memory is a megabyte for each search and quantile, and the list of shards: nothing that grows with documents.
    """

    executor: Executor
    workdir: str
    shards: Sequence[ShardWeights]
    columns: Sequence[str]
    """Log-weight columns, one for each target that selects."""
    seed: int
    min_tokens: int
    spreads: Sequence[Spread]
    """One for each of `columns`."""

    def ranking(self, method: Method, target: int) -> Ranking:
        """How a method orders the documents for a target."""
        return Ranking(method, self.seed, target, self.columns[target], self.spreads[target])

    def cut_target(
        self,
        target: int,
        earlier: Mapping[Method, Cuts],
        goal: Callable[[Eligible], tuple[int, str]],
    ) -> tuple[dict[Method, Cuts], dict[str, float], Eligible]:
        """Let one target choose under each method of `earlier`, among what that method's earlier cuts left.

        Args:
            target: index of the target.
            earlier: by method the cuts made before; one of the methods is top-k.
            goal: (amount, unit) of the target, given what is eligible.

        Returns:
            By method the cuts with this target's added; quantiles of the target's log weights over the eligible
            documents (when it is the first target; else over those left to it by top-k); what is eligible.
        """
        methods = list(earlier)
        rankings = [self.ranking(method, target) for method in methods]
        parts = [
            tuple(Search(ranking, earlier[method][shard]) for ranking, method in zip(rankings, methods, strict=True))
            for shard in range(len(self.shards))
        ]
        eligible: list[Eligible] = []

        def goals(sums: list[HistogramSum]) -> list[Goal]:
            eligible.extend(Eligible(int(total.documents.sum()), int(total.tokens.sum())) for total in sums)
            amount, unit = goal(eligible[0])
            mine = [Goal(search, amount, unit) for search in range(len(methods))]  # type: ignore[arg-type]
            return mine + _quantile_goals(methods.index("top-k"), eligible[methods.index("top-k")].documents)

        found = find_thresholds(len(methods), goals, lambda level, wanted: self._pass(parts, level, wanted))
        cuts = {}
        for search, (method, threshold) in enumerate(zip(methods, found, strict=False)):
            ties = self._share_ties(parts, search, threshold)
            cuts[method] = [
                (*before, Cut(rankings[search], threshold.bits, n))
                for before, n in zip(earlier[method], ties, strict=True)
            ]
        values = keys_of_bits(np.array([threshold.bits for threshold in found[len(methods) :]], np.uint64))
        return cuts, dict(zip([f"{q:g}" for q in QUANTILES], map(float, values), strict=False)), eligible[0]

    def _pass(self, parts: Sequence[tuple[Search, ...]], level: int, wanted: Sequence[Wanted]) -> list[HistogramSum]:
        sums = [HistogramSum() for _ in wanted]
        tasks = [
            HistogramTask(self.workdir, group, self.min_tokens, level, tuple(wanted)) for group in self._groups(parts)
        ]
        for _, histograms in self._map(part_histograms, tasks):
            for total, histogram in zip(sums, histograms, strict=True):
                total.add(histogram)
        return sums

    def _share_ties(self, parts: Sequence[tuple[Search, ...]], search: int, threshold: Threshold) -> list[int]:
        """How many documents that tie at the threshold each shard takes: the first in order of (file, position)."""
        shares = [0] * len(parts)
        if not threshold.ties:
            return shares
        goal = TieGoal(search, threshold.bits, threshold.unit, threshold.ties)
        tasks = [TieTask(self.workdir, group, self.min_tokens, goal) for group in self._groups(parts)]
        by_task = dict(self._map(part_ties, tasks))
        ties = [tie for index in range(len(tasks)) for tie in by_task[index]]
        left = threshold.ties
        for shard, tie in enumerate(ties):
            if tie.size <= left:
                shares[shard] = tie.documents
                left -= tie.size
                continue
            part = WeightsPart(self.shards[shard].name, parts[shard])
            last = TieTask(self.workdir, (part,), self.min_tokens, replace(goal, amount=left))
            ((_, (rest,)),) = self._map(part_ties, [last])
            shares[shard] = rest.fitting
            break
        return shares

    def _groups(self, parts: Sequence[tuple[Search, ...]]) -> Iterator[tuple[WeightsPart, ...]]:
        """Shards in groups of enough documents that the work is worth a task."""
        group: list[WeightsPart] = []
        documents = 0
        limit = min(GROUP_SHARDS, -(-len(self.shards) // (2 * self.executor.n_workers)))
        for shard, searches in zip(self.shards, parts, strict=True):
            group.append(WeightsPart(shard.name, searches))
            documents += shard.documents
            if documents >= GROUP_DOCUMENTS or len(group) >= limit:
                yield tuple(group)
                group, documents = [], 0
        if group:
            yield tuple(group)

    def _map(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        for outcome in self.executor.map(function, tasks, name=STAGE):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            yield outcome.index, outcome.result


def _quantile_goals(search: int, n: int) -> list[Goal]:
    """The k-th largest of n is the quantile 1 - (k - 1) / (n - 1), at the nearest rank."""
    ranks = [1 + round((1 - q) * (n - 1)) for q in QUANTILES] if n else []
    return [Goal(search, rank, levels=QUANTILE_LEVELS) for rank in ranks]


def keys_of_bits(bits: np.ndarray) -> np.ndarray:
    """Inverse of `radix.order_bits`: uint64[n] -> float64[n]."""
    positive = bits >> np.uint64(63) == 1
    return np.where(positive, bits & np.uint64(2**63 - 1), ~bits).view(np.float64)
