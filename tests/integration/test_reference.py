"""The same answer as the reference package, `data-selection` 1.0.3, run side by side on the demo corpus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_selection import HashedNgramDSIR

from dsir_core.config.request import parse_config
from dsir_core.pipeline import score_only, select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.shards.score import load_model
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO, demo_records

TARGETS = ("speeches", "sqlite_manual")
K = 30


@dataclass
class Reference:
    dsir: HashedNgramDSIR
    log_weights: np.ndarray
    chosen: list[str]
    """Ids, in the order of the pool."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the demo's raw corpus: the reference package takes seconds for each of its passes."""
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in demo_records()[::3]))
    return path


def target_path(name: str) -> str:
    return str(DEMO / "targets" / f"{name}.jsonl")


def run_reference(pool: Path, folder: Path, names: tuple[str, ...], *, separate: bool) -> Reference:
    dsir = HashedNgramDSIR(
        [str(pool)],
        [target_path(name) for name in names],
        cache_dir=str(folder / "cache"),
        num_proc=1,
        separate_targets=separate,
    )
    dsir.fit_importance_estimator()
    dsir.compute_importance_weights()
    dsir.resample(str(folder / "out"), num_to_sample=K, cache_dir=str(folder / "resampled"), top_k=True)
    lines = [line for path in (folder / "out").rglob("*.jsonl") for line in path.read_text().splitlines()]
    weights = np.load(folder / "cache" / "log_importance_weights" / "0.npy")
    return Reference(dsir, weights, [json.loads(line)["id"] for line in lines])


@pytest.fixture(scope="module")
def pooled(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return run_reference(pool, tmp_path_factory.mktemp("pooled"), TARGETS, separate=False)


@pytest.fixture(scope="module")
def separate(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return run_reference(pool, tmp_path_factory.mktemp("separate"), TARGETS, separate=True)


def make_run(pool: Path, tmp_path: Path, *, separate: bool) -> Run:
    values = {
        "raw": [str(pool)],
        "target": [f"{name}={target_path(name)}" for name in TARGETS],
        "output": str(tmp_path / "output"),
        "preset": "reference",
        "method": "top-k",
        "count": K,
        "separate": separate,
        "shard_bytes": 1_000_000,
    }
    return Run(parse_config(values), InlineExecutor())


@pytest.mark.parametrize("kind", ["pooled", "separate"])
def test_model_weights_and_top_k_set_are_the_references(
    kind: str, pool: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    reference: Reference = request.getfixturevalue(kind)
    run = request_run(pool, tmp_path, kind)
    _, scores = score_only(run)
    tables = [pq.read_table(f"{run.store.url}/{result.receipt.name}") for result in scores.results]
    weights = pa.concat_tables(tables, promote_options="permissive")
    model = load_model(run.store.url, json_digest(run))

    expected = np.atleast_2d(reference.dsir.log_diff)
    assert np.allclose(model.log_ratio, expected, rtol=1e-12, atol=1e-12)

    found = np.stack([weights.column(column).to_numpy() for column in scores.columns], axis=1)
    expected = reference.log_weights.reshape(len(found), -1)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())

    report = select(run)
    chosen = [json.loads(line)["id"] for line in output_lines(tmp_path / "output")]
    assert len(chosen) == report["documents"]["selected"] == K
    assert sorted(chosen) == sorted(reference.chosen)


def request_run(pool: Path, tmp_path: Path, kind: str) -> Run:
    return make_run(pool, tmp_path, separate=kind == "separate")


def json_digest(run: Run) -> str:
    (name,) = [name for name in run.store.names("model") if name.endswith(".npz")]
    return Path(name).stem


def output_lines(output: Path) -> list[str]:
    return [line for part in sorted(output.glob("part-*.jsonl")) for line in part.read_text().splitlines()]
