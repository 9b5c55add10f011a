"""`method: heuristic` and `heuristic-top-k` on the demo corpus: what is kept, by whom, whatever the shards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsir_core import stages
from dsir_core.config.features import FeatureSettings
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.forecasting.reuse import find_reuse
from dsir_core.in_memory import count_texts
from dsir_core.model.compact_sample import Bound
from dsir_core.model.noise import random_bits, uniform
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.plan import plan
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO, Select, demo_records

SPEECHES = DEMO / "targets" / "speeches.jsonl"
TARGET = {"speeches": str(SPEECHES)}
FEATURES = FeatureSettings()


def counts_of(texts: list[str]) -> np.ndarray:
    return np.stack([count_texts([text], FEATURES) for text in texts]).astype(float)


def shares_of(texts: list[str]) -> np.ndarray:
    counts = counts_of(texts)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Log odds of the demo's documents by scikit-learn on dense features, with another solver."""
    from sklearn.linear_model import LogisticRegression

    target = shares_of([json.loads(line)["text"] for line in SPEECHES.read_text().splitlines()])
    raw = shares_of([record["text"] for record in demo_records()])
    features = np.concatenate([target, raw])
    is_target = np.arange(len(features)) < len(target)
    length = np.sqrt((features**2).sum() / len(features))
    model = LogisticRegression(class_weight="balanced", solver="newton-cg", tol=1e-11, max_iter=10**4)
    return np.asarray(model.fit(features / length, is_target).decision_function(raw / length))


def rows_of(output: Path) -> list[dict[str, Any]]:
    return pq.read_table(output / "selected.parquet").to_pylist()


def test_top_k_takes_what_scikit_learn_gives_the_largest_scores(
    run_select: Select, pool: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    run_select(raw=[str(pool)], target=TARGET, count=70, min_tokens=0, method="heuristic-top-k")
    positions = np.cumsum([0, *(len(line) + 1 for line in pool.read_bytes().splitlines())])
    rows = rows_of(tmp_path / "output")
    documents = [int(np.searchsorted(positions, row["position"])) for row in rows]
    assert np.allclose([row["log_odds"] for row in rows], expected[documents], atol=1e-6)
    assert set(documents) == set(np.argsort(-expected)[:70].tolist())
    assert [row["key"] for row in rows] == [row["log_odds"] for row in rows]


def test_what_the_noise_keeps_is_a_random_part_of_what_it_could_keep(
    run_select: Select, pool: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    """The Pareto noise by its own distribution, from the same uniform numbers."""
    report = run_select(raw=[str(pool)], target=TARGET, count=20, min_tokens=0, method="heuristic", seed=3)
    positions = np.cumsum([0, *(len(line) + 1 for line in pool.read_bytes().splitlines())])[:-1]
    chance = uniform(random_bits(positions, "pareto", 3, 0, "pool.jsonl"))
    pareto = (1 - chance) ** (-1 / 9) - 1
    kept = np.flatnonzero(pareto > 1 - 1 / (1 + np.exp(-expected)))
    assert 20 < len(kept) < 200
    order = uniform(random_bits(positions, "order", 3, 0, "pool.jsonl"))
    first = sorted(kept.tolist(), key=lambda i: -order[i])[:20]
    assert [row["position"] for row in rows_of(tmp_path / "output")] == sorted(positions[first].tolist())
    assert not any("Pareto" in note for note in report["notes"])


def test_the_page_says_how_often_noise_was_drawn(run_select: Select, pool: Path, tmp_path: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=400, method="heuristic")
    rounds = max(int(np.ceil(1 - row["key"])) for row in rows_of(tmp_path / "output"))
    assert rounds > 1
    assert any(f"was drawn {rounds} times" in note for note in report["notes"])
    assert report["histograms"]["speeches"]["thresholds"] == []
    assert report["documents"]["selected"] == 400


@pytest.mark.parametrize("method", ["heuristic", "heuristic-top-k"])
def test_the_selection_is_the_same_in_all_shards_and_samples_are_cut(
    run_select: Select, pool: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.classify, "BOUND", Bound(300, 60_000))
    monkeypatch.setattr(stages.classify, "TIMES", 5)
    digests, sampled = set(), set()
    for shard_bytes in (100_000, 300_000, 10**9):
        work, output = str(tmp_path / f"{shard_bytes}.work"), str(tmp_path / f"{shard_bytes}")
        asked = {"raw": [str(pool)], "target": TARGET, "count": 70, "method": method, "shard_bytes": shard_bytes}
        digests.add(run_select(**asked, workdir=work, output=output)["selection_digest"])
        (receipt,) = Path(work, "classifier").glob("*.json")
        sampled.add(json.loads(receipt.read_text())["summary"]["raw"])
        assert len(list(Path(work, "documents").glob("*.json"))) >= (2 if shard_bytes == 10**9 else 5)
    assert len(digests) == 1
    assert len(sampled) == 1
    assert 50 < sampled.pop() <= 300


def test_separate_targets_strata_and_pieces_have_classifiers_too(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    labels = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps({**r, "domain": labels[r["id"]]}) + "\n" for r in demo_records()))
    target = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code")}
    asked: dict[str, Any] = {"raw": [str(raw)], "target": target, "count": 100, "overwrite": True}
    for more in ({"separate": True}, {"match": True}, {"separate": True, "chunk": {"words": 128}, "min_tokens": 50}):
        run_select(**asked, **more, method="heuristic-top-k", strata="domain")
        kinds = {name: Counter() for name in target}
        for row in rows_of(tmp_path / "output"):
            kinds[row["target"]][row["stratum"]] += 1
        for name, found in kinds.items():
            assert found.most_common(1)[0][0] == name
            assert found[name] >= 0.6 * found.total()
    quotas = {"speeches": 30, "bible": 10}
    report = run_select(
        raw=[str(raw)], target=TARGET, method="heuristic", strata="domain", quotas=quotas, overwrite=True
    )
    assert {name: found["selected"] for name, found in report["strata"].items() if found["selected"]} == quotas


def test_a_classifier_is_kept_and_fitted_anew_when_raw_changes(run_select: Select, pool: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(pool)], "target": TARGET, "overwrite": True}
    first = run_select(**asked, count=20, method="heuristic")
    kept = {path: path.read_bytes() for path in (tmp_path / "workdir" / "classifier").iterdir()}
    again = run_select(**asked, count=50, seed=4, method="heuristic-top-k")
    assert again["model_digest"] == first["model_digest"]
    assert again["stages"]["score"]["reused"] == again["stages"]["score"]["shards"]
    (data,) = (path for path in kept if path.suffix == ".npz")
    data.write_bytes(b"damaged" + data.read_bytes()[7:])
    assert run_select(**asked, count=20, method="heuristic")["selection_digest"] == first["selection_digest"]
    assert {path: path.read_bytes() for path in kept} == kept
    assert run_select(**asked, count=20)["model_digest"] != first["model_digest"]


def test_scores_from_elsewhere_are_no_part_of_it() -> None:
    with pytest.raises(RequestError, match="goes by a classifier"):
        parse_config(
            {"raw": "a", "target": "b", "output": "o", "count": 1, "method": "heuristic", "weights": {"column": "c"}}
        )


def test_a_forecast_does_not_count_on_weights_without_a_classifier(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"raw": [str(pool)], "target": TARGET, "count": 20}
    run_select(**asked)
    for method, known in (("importance", 1), ("heuristic", None)):
        values = {**asked, "output": "o", "workdir": str(tmp_path / "workdir"), "method": method}
        run = Run(parse_config(values), InlineExecutor())
        assert find_reuse(run, plan(run), 1.0).scored == known
