"""Thresholds over stored weights choose what a plain sort of all keys would choose, however the shards are cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsir_core.choosing import Chooser
from dsir_core.executor import InlineExecutor
from dsir_core.noise import gumbel
from dsir_core.rows import read_rows
from dsir_core.settings import Method
from dsir_core.spread import REFERENCE
from dsir_core.store import Store
from dsir_core.thresholds import ShardWeights, Thresholds
from dsir_core.weights import weight_columns, weights_schema

MIN_TOKENS = 3
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from([-5.0, 0.0, -0.0, 0.5, 2.0, 700.0]) | st.floats(-1e6, 1e6), st.integers(0, 30)),
    min_size=1,
    max_size=40,
)


class Corpus:
    """Documents in two files, cut into shards, with their weights in a workdir."""

    def __init__(self, folder: Path, documents: Sequence[tuple[float, int]], cuts: Sequence[int], targets: int) -> None:
        self.names = tuple("ab"[:targets])
        half = len(documents) // 2
        self.files = ["x.jsonl"] * half + ["y.jsonl"] * (len(documents) - half)
        self.positions = np.arange(len(documents)) * 100
        self.n_tokens = np.array([n for _, n in documents], np.int32)
        weights = np.array([weight for weight, _ in documents])
        self.weights = [weights, weights[::-1].copy()][:targets]
        self.store = Store(str(folder))
        edges = sorted({0, len(documents), *(cut % (len(documents) + 1) for cut in cuts)})
        self.shards = [self._write(i, start, stop) for i, (start, stop) in enumerate(pairwise(edges))]

    def _write(self, index: int, start: int, stop: int) -> ShardWeights:
        name = f"weights/{index}.parquet"
        table = pa.table(
            [
                pa.array(self.files[start:stop]).dictionary_encode(),
                self.positions[start:stop],
                self.n_tokens[start:stop],
                *(weights[start:stop] for weights in self.weights),
            ],
            schema=weights_schema(self.names),
        )
        with self.store.writer(name) as stream:
            pq.write_table(table, stream)
        return ShardWeights(name, stop - start)

    def keys(self, method: Method, target: int) -> np.ndarray:
        if method == "top-k":
            return self.weights[target] + 0.0
        noise = np.array(
            [gumbel(np.array([p]), 7, target, f)[0] for f, p in zip(self.files, self.positions, strict=True)]
        )
        return noise if method == "random" else self.weights[target] + noise

    def expected(self, method: Method, goals: Sequence[int], unit: str) -> np.ndarray:
        chosen = np.full(len(self.positions), -1)
        for target, goal in enumerate(goals):
            keys, left = self.keys(method, target), goal
            free = np.flatnonzero((self.n_tokens >= MIN_TOKENS) & (chosen < 0))
            for i in sorted(free, key=lambda i: (-keys[i], i)):
                size = 1 if unit == "documents" else int(self.n_tokens[i])
                if size > left:
                    break
                chosen[i] = target
                left -= size
        return chosen

    def found(self, method: Method, goals: Sequence[int], unit: str) -> np.ndarray:
        columns = weight_columns(self.names)
        spreads = [REFERENCE] * len(columns)
        search = Thresholds(InlineExecutor(), self.store.url, self.shards, columns, 7, MIN_TOKENS, spreads)
        cuts: dict[Method, Any] = dict.fromkeys([method, "top-k"], ())
        for target, goal in enumerate(goals):
            cuts, _, _ = search.cut_target(target, cuts, lambda eligible, goal=goal: (goal, unit))
        chosen = []
        for index, shard in enumerate(self.shards):
            chooser = Chooser(tuple(cut.at(index) for cut in cuts[method]), MIN_TOKENS)
            chosen += [chooser.choose(rows) for rows in read_rows(self.store, shard.name, columns)]
        return np.concatenate(chosen)


@pytest.mark.parametrize("method", ["importance", "top-k", "random"])
@pytest.mark.parametrize("unit", ["documents", "tokens"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=DOCUMENTS,
    cuts=st.lists(st.integers(0, 40), max_size=4),
    goals=st.lists(st.integers(0, 60), min_size=1, max_size=2),
)
def test_the_chosen_are_those_of_a_plain_sort(
    tmp_path_factory: pytest.TempPathFactory,
    method: Method,
    unit: str,
    documents: list[tuple[float, int]],
    cuts: list[int],
    goals: list[int],
) -> None:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"), documents, cuts, len(goals))
    assert corpus.found(method, goals, unit).tolist() == corpus.expected(method, goals, unit).tolist()


@pytest.mark.parametrize("unit", ["documents", "tokens"])
def test_documents_that_are_all_equal_go_by_file_and_position(tmp_path: Path, unit: str) -> None:
    corpus = Corpus(tmp_path, [(1.0, 5)] * 30, [7, 8, 20], 1)
    goal = 11 if unit == "documents" else 11 * 5 + 4
    assert np.flatnonzero(corpus.found("top-k", [goal], unit) == 0).tolist() == list(range(11))


def test_quantiles_are_those_of_the_eligible_documents(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1001) * 100
    corpus = Corpus(tmp_path, [(float(v), 5) for v in values] + [(1e9, 0)], [100, 300], 1)
    search = Thresholds(InlineExecutor(), str(tmp_path), corpus.shards, ("log_weight",), 7, MIN_TOKENS, [REFERENCE])
    cuts: dict[Method, Any] = {"top-k": ()}
    _, quantiles, eligible = search.cut_target(0, cuts, lambda eligible: (10, "documents"))
    assert eligible.documents == 1001
    for q, value in quantiles.items():
        assert value == pytest.approx(np.quantile(values, float(q), method="nearest"), rel=2e-6)


@pytest.mark.parametrize("seeds", [20_000])
def test_inclusion_frequencies_are_those_of_sampling_without_replacement(seeds: int) -> None:
    """Against exact enumeration of successive draws in proportion to the weights (N = 5, k = 2)."""
    weights = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    p = weights / weights.sum()
    exact = np.array([p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(5) if j != i) for i in range(5)])
    counts = np.zeros(5)
    for seed in range(seeds):
        keys = np.log(weights) + gumbel(np.arange(5), seed, 0, "f")
        counts[np.argsort(-keys)[:2]] += 1
    deviation = np.abs(counts / seeds - exact) / np.sqrt(exact * (1 - exact) / seeds)
    assert deviation.max() < 4.5
