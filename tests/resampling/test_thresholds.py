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
from hypothesis import given, settings
from hypothesis import strategies as st

from dsir_core.checkpoints.store import Store
from dsir_core.model.noise import document_bits, gumbel, uniform
from dsir_core.resampling import thresholds
from dsir_core.resampling.keys import Chooser, Pool
from dsir_core.resampling.radix import Unit
from dsir_core.resampling.scaling import LOWEST, REFERENCE
from dsir_core.resampling.thresholds import Eligible, ShardWeights, Thresholds, temperature_of
from dsir_core.resampling.weight_rows import read_rows
from dsir_core.resampling.weights_schema import stratum_names, weight_columns, weights_batch, weights_schema
from dsir_core.runtime.executor import Executor, InlineExecutor

MIN_TOKENS = 3
WEIGHTS = st.sampled_from([-np.inf, -5.0, 0.0, -0.0, 0.5, 2.0, 700.0, np.inf]) | st.floats(-1e6, 1e6)
DOCUMENTS = st.lists(st.tuples(WEIGHTS, st.integers(0, 30)), max_size=40)
AMOUNTS = st.integers(0, 60) | st.sampled_from([500, 2**31, 2**62])
METHODS: list[str] = ["importance", "top-k", "random"]


class Crowd(InlineExecutor):
    """This process, as if it were many workers: a task holds few shards, and trees are deep."""

    n_workers = 1000


class Corpus:
    """Documents in two files, cut into shards, some of them empty, with their weights in a workdir."""

    def __init__(
        self,
        folder: Path,
        documents: Sequence[tuple[float, int]],
        cuts: Sequence[int],
        targets: int,
        min_tokens: int = MIN_TOKENS,
    ) -> None:
        self.min_tokens = min_tokens
        self.selectors = tuple("ab"[:targets])
        half = len(documents) // 2
        self.files = ["x.jsonl"] * half + ["y.jsonl"] * (len(documents) - half)
        self.positions = np.arange(len(documents)) * 100
        self.n_tokens = np.array([n for _, n in documents], np.int32)
        weights = np.array([weight for weight, _ in documents])
        self.weights = [weights, weights[::-1].copy()][:targets]
        self.store = Store(str(folder))
        edges = sorted([0, len(documents), *(cut % (len(documents) + 1) for cut in cuts)])
        self.shards = [self._write(i, start, stop) for i, (start, stop) in enumerate(pairwise(edges))]

    def _write(self, index: int, start: int, stop: int) -> ShardWeights:
        name = f"weights/{index}.parquet"
        table = pa.table(
            [
                pa.array(self.files[start:stop], pa.string()).dictionary_encode(),
                self.positions[start:stop],
                self.n_tokens[start:stop],
                *(weights[start:stop] for weights in self.weights),
            ],
            schema=weights_schema(self.selectors),
        )
        with self.store.writer(name) as stream:
            pq.write_table(table, stream)
        return ShardWeights(name, stop - start)

    def keys(self, method: str, target: int) -> np.ndarray:
        if method == "top-k":
            return self.weights[target] + 0.0
        places = [(np.array([p]), f) for f, p in zip(self.files, self.positions, strict=True)]
        if method == "random":
            return np.array([uniform(document_bits(p, f, None, "random", 7, target))[0] for p, f in places], np.float64)
        return self.weights[target] + np.array([gumbel(p, 7, target, f)[0] for p, f in places], np.float64)

    def expected(self, method: str, goals: Sequence[int], unit: str) -> np.ndarray:
        chosen = np.full(len(self.positions), -1)
        for target, goal in enumerate(goals):
            keys, left = self.keys(method, target), goal
            free = np.flatnonzero((self.n_tokens >= self.min_tokens) & (chosen < 0))
            for i in sorted(free, key=lambda i: (-keys[i], i)) if goal else ():
                size = 1 if unit == "documents" else int(self.n_tokens[i])
                if size > left:
                    break
                chosen[i] = target
                left -= size
        return chosen

    def found(
        self, method: str, goals: Sequence[int | float], unit: Unit, executor: Executor | None = None
    ) -> np.ndarray:
        """Which target chose each document, -1 where none did; goals that are floats are shares of what is eligible."""
        columns = weight_columns(self.selectors)
        spreads = [REFERENCE] * len(columns)
        executor = executor or InlineExecutor()
        search = Thresholds(executor, self.store.url, self.shards, columns, 7, self.min_tokens, spreads)
        cuts: dict[str, Any] = dict.fromkeys([method, "top-k"], ())
        for target, goal in enumerate(goals):
            cuts, _, _ = search.cut_target(target, cuts, lambda eligible, goal=goal: (_amount(goal, eligible), unit))
        chosen = [np.empty(0, np.int32)]
        for index, shard in enumerate(self.shards):
            chooser = Chooser(tuple(cut.at(index) for cut in cuts[method]), self.min_tokens)
            chosen += [chooser.choose(rows) for rows in read_rows(self.store, shard.name, columns)]
        return np.concatenate(chosen)


def _amount(goal: int | float, eligible: Eligible) -> int:
    return goal if isinstance(goal, int) else round(goal * eligible.documents)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", ["documents", "tokens"])
@settings(max_examples=settings().max_examples // 3)  # each writes a corpus of weights
@given(
    documents=DOCUMENTS,
    cuts=st.lists(st.integers(0, 40), max_size=24),
    goals=st.lists(AMOUNTS, min_size=1, max_size=2),
    min_tokens=st.sampled_from([0, MIN_TOKENS]),
    executor=st.sampled_from([InlineExecutor(), Crowd()]),
)
def test_the_chosen_are_those_of_a_plain_sort(
    tmp_path_factory: pytest.TempPathFactory,
    method: str,
    unit: Unit,
    documents: list[tuple[float, int]],
    cuts: list[int],
    goals: list[int],
    min_tokens: int,
    executor: Executor,
) -> None:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"), documents, cuts, len(goals), min_tokens)
    assert corpus.found(method, goals, unit, executor).tolist() == corpus.expected(method, goals, unit).tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_a_fraction_is_of_the_eligible_documents(tmp_path: Path, method: str, fraction: float) -> None:
    documents = [(float(weight), 2 + weight % 3) for weight in np.random.default_rng(0).integers(0, 50, 200)]
    corpus = Corpus(tmp_path, documents, [20, 21, 150], 1)
    wanted = round(fraction * sum(n_tokens >= MIN_TOKENS for _, n_tokens in documents))
    assert corpus.found(method, [fraction], "documents").tolist() == (
        corpus.expected(method, [wanted], "documents").tolist()
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", ["documents", "tokens"])
@pytest.mark.parametrize("goal", [0, 1, 4, 5, 2**62])
def test_one_document_is_taken_when_it_fits(tmp_path: Path, method: str, unit: Unit, goal: int) -> None:
    corpus = Corpus(tmp_path, [(1.0, 5)], [0, 0, 1, 1], 1)
    assert corpus.found(method, [goal], unit).tolist() == [0 if goal >= (1 if unit == "documents" else 5) else -1]


def test_no_shards_and_no_documents_give_nothing(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, [], [0, 0], 1)
    assert corpus.found("importance", [10], "documents").tolist() == []
    corpus.shards = []
    assert corpus.found("importance", [10], "documents").tolist() == []
    assert _temperature(corpus, InlineExecutor()) == pytest.approx(LOWEST, rel=1e-3)


@pytest.mark.parametrize("n_groups", [1, 7, 8, 9, 65])
@pytest.mark.parametrize("unit", ["documents", "tokens"])
def test_ties_are_shared_out_over_groups_of_shards(tmp_path: Path, unit: Unit, n_groups: int) -> None:
    documents = [(float(i % 3), 5 + i % 2) for i in range(2 * n_groups)]
    corpus = Corpus(tmp_path, documents, range(0, len(documents), 2), 2)
    for goal in (1, n_groups, 4 * n_groups):
        assert corpus.found("top-k", [goal, goal], unit, Crowd()).tolist() == (
            corpus.expected("top-k", [goal, goal], unit).tolist()
        )


def _temperature(corpus: Corpus, executor: Executor) -> float:
    shards, workdir = corpus.shards, corpus.store.url
    return temperature_of(executor, workdir, shards, "log_weight", REFERENCE, MIN_TOKENS, 0.3)


def test_a_temperature_does_not_depend_on_shards_or_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [(float(w), 5) for w in np.random.default_rng(3).normal(scale=80, size=300)]
    found = set()
    for index, cuts in enumerate([[], [150], range(0, 300, 7)]):
        corpus = Corpus(tmp_path / str(index), documents, cuts, 1)
        for executor, shards in ((InlineExecutor(), 128), (Crowd(), 2)):
            monkeypatch.setattr(thresholds, "GROUP_SHARDS", shards)
            found.add(_temperature(corpus, executor))
    assert len(found) == 1
    assert found.pop() > 1


@pytest.mark.parametrize("unit", ["documents", "tokens"])
def test_documents_that_are_all_equal_go_by_file_and_position(tmp_path: Path, unit: Unit) -> None:
    corpus = Corpus(tmp_path, [(1.0, 5)] * 30, [7, 8, 20], 1)
    goal = 11 if unit == "documents" else 11 * 5 + 4
    assert np.flatnonzero(corpus.found("top-k", [goal], unit) == 0).tolist() == list(range(11))


def test_quantiles_are_those_of_the_eligible_documents(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1001) * 100
    corpus = Corpus(tmp_path, [(float(v), 5) for v in values] + [(1e9, 0)], [100, 300], 1)
    search = Thresholds(InlineExecutor(), str(tmp_path), corpus.shards, ("log_weight",), 7, MIN_TOKENS, [REFERENCE])
    cuts: dict[str, Any] = {"top-k": ()}
    _, quantiles, eligible = search.cut_target(0, cuts, lambda eligible: (10, "documents"))
    assert eligible.documents == 1001
    assert list(quantiles) == ["0", "0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "1"]
    for q, value in quantiles.items():
        assert value == pytest.approx(np.quantile(values, float(q), method="nearest"), rel=2e-6)


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_each_pool_takes_its_own_amount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(thresholds, "POOLS_AT_ONCE", at_once)
    values, names = [float(i % 7) for i in range(60)], [f"s{i % 5}" for i in range(60)]
    store, shards = Store(str(tmp_path)), []
    for index, part in enumerate((slice(0, 25), slice(25, 60))):
        n = len(values[part])
        batch = weights_batch(("a",), "x", np.arange(60)[part], np.full(n, 5, np.int32),
                              np.array(values[part])[:, None], strata=stratum_names(names[part]))  # fmt: skip
        with store.writer(f"{index}.parquet") as stream:
            pq.write_table(pa.Table.from_batches([batch]), stream)
        shards.append(ShardWeights(f"{index}.parquet", n))
    search = Thresholds(InlineExecutor(), store.url, shards, ("log_weight",), 7, 0, [REFERENCE])
    assert search.strata(0, ()) == {f"s{i}": (12, 60) for i in range(5)}
    assert search.eligible(0) == Eligible(60, 300)
    amounts = [0, 1, 5, 12, 3]
    cuts = search.cut_pools(0, {"top-k": ()}, [Pool(f"s{i}") for i in range(5)], amounts, "documents")["top-k"]
    chosen = []
    for index, shard in enumerate(shards):
        chooser = Chooser(tuple(cut.at(index) for cut in cuts), 0)
        chosen += [int(i) for rows in read_rows(store, shard.name, ("log_weight",)) for i in chooser.choose(rows)]
    for i, amount in enumerate(amounts):
        best = sorted((j for j in range(60) if names[j] == f"s{i}"), key=lambda j: (-values[j], j))[:amount]
        assert [j for j in range(60) if chosen[j] == i] == sorted(best)
    left = [values[j] for j in range(60) if chosen[j] < 0]
    assert search.strata(0, cuts) == {f"s{i}": (12 - n, 60 - 5 * n) for i, n in enumerate(amounts)}
    quantiles = search.quantiles(0, cuts)
    assert (quantiles["0"], quantiles["1"]) == pytest.approx((min(left), max(left)), rel=1e-5, abs=1e-5)
    empty = Thresholds(InlineExecutor(), store.url, [], ("log_weight",), 7, 0, [REFERENCE])
    assert (empty.strata(0, ()), empty.eligible(0)) == ({}, Eligible(0, 0))
