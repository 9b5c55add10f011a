"""The registry of methods: what is registered works, by one entry, and methods have nothing in common by accident."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from dsir_core.config.methods import DIALS, METHODS, Method, method_of, register
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import compare_methods, select
from dsir_core.resampling.keys import Ranking
from dsir_core.resampling.methods import keys_of, log_chances_of
from dsir_core.resampling.weight_rows import Rows
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO
from tests.integration.conftest import pool as pool  # the fixture

TARGET = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}
N = 4000


@pytest.fixture
def rows() -> Rows:
    """Documents of one file that differ in nothing but their position."""
    columns = {"log_weight": np.zeros(N), "log_odds": np.zeros(N)}
    return Rows(np.zeros(N, np.int32), ["a.jsonl"], np.arange(N) * 811, np.full(N, 100, np.int32), columns)


def longest_keys(rows: Rows, ranking: Ranking) -> npt.NDArray[np.float64]:
    """Documents of most tokens."""
    return rows.n_tokens.astype(np.float64)


LONGEST = Method("longest", "most tokens", f"{__name__}:longest_keys")


def test_each_method_draws_noise_of_its_own(rows: Rows) -> None:
    """Of documents that are all alike two methods choose the same only by chance."""
    sampled = [name for name, method in METHODS.items() if method.chances is not None]
    assert len(sampled) >= 3
    best = {name: np.argsort(-keys_of(rows, Ranking(name, 0, 0, "log_weight")))[: N // 10] for name in sampled}
    for one, other in itertools.combinations(sampled, 2):
        shared = len(np.intersect1d(best[one], best[other]))
        assert abs(shared - N / 100) < 5 * np.sqrt(N / 100)


@pytest.mark.parametrize("name", list(METHODS))
def test_the_entry_says_what_the_keys_depend_on(rows: Rows, name: str) -> None:
    method = METHODS[name]
    ranking = Ranking(name, 0, 0, "log_weight")
    first = keys_of(rows, ranking)
    chances = log_chances_of(rows, ranking)
    assert first.shape == (N,)
    assert (chances is not None and len(chances) == N) == (method.chances is not None)
    rows.log_weights["log_weight"] = np.arange(N) % 7.0
    assert (keys_of(rows, ranking) != first).any() == method.by_weight
    rows.log_weights["log_odds"] = np.arange(N) % 5.0
    with_odds = keys_of(rows, ranking)
    rows.log_weights["log_weight"] = np.zeros(N)
    assert (keys_of(rows, ranking) != first).any() == method.uses_classifier
    assert ("log_odds" in ranking.columns) == method.uses_classifier
    assert len(with_odds) == N
    assert set(method.dials) | set(method.ignores) == set(DIALS)


def test_one_entry_adds_a_method(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {
        "raw": [str(pool)], "target": TARGET, "count": 30, "method": "longest", "temperature": 2.0,
        "output": str(tmp_path / "output"), "workdir": str(tmp_path / "workdir"),
    }  # fmt: skip
    with pytest.raises(RequestError, match=r"method: must be one of random, .*importance.*got 'longest'"):
        parse_config(asked)
    monkeypatch.setitem(METHODS, LONGEST.name, LONGEST)
    report = select(Run(parse_config(asked), InlineExecutor()))
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    lengths = sorted((row["n_tokens"] for row in rows), reverse=True)
    assert len(lengths) == 30
    assert [row["key"] for row in rows] == [float(row["n_tokens"]) for row in rows]
    assert any("method longest makes no use of temperature:" in note for note in report["notes"])
    assert report["histograms"]["speeches"]["thresholds"] == []
    assert (tmp_path / "output" / "report.html").exists()

    compared = compare_methods(Run(parse_config({**asked, "output": str(tmp_path / "compared")}), InlineExecutor()))
    assert list(compared["methods"]) == list(METHODS)
    assert compared["methods"]["longest"]["tokens"] == sum(lengths)
    assert compared["methods"]["longest"]["effective_sample_size"] is None
    assert compared["methods"]["random"]["tokens"] < sum(lengths)
    assert "longest" in json.dumps(compared["overlap"]["random"])


def test_names_are_unique_and_a_wrong_one_is_explained() -> None:
    with pytest.raises(ValueError, match="there is a method 'random'"):
        register(METHODS["random"])
    with pytest.raises(ValueError, match=r"must be one of random, .*importance"):
        method_of("importence")
