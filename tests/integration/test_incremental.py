"""A run pays only for what changed, however it ends up with the same answer; a workdir says what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tests.integration.conftest import Select
from tests.integration.growing import N_DOCUMENTS, N_FILES, OTHER, add_file, files_of, reused, settings


@pytest.fixture
def raw(pool: Path, tmp_path: Path) -> Path:
    """Documents of the demo in several files, each a shard of its own; the last is not there yet."""
    return files_of(pool, tmp_path)


@pytest.fixture(scope="module")
def lasting(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A request whose workdir tests share, each leaving it as it was; and the digest of its selection."""
    folder = tmp_path_factory.mktemp("lasting")
    places = {"output": str(folder / "output"), "workdir": str(folder / "workdir")}
    asked = settings(files_of(pool, folder), refit="never", **places)
    report = select(Run(parse_config(asked), InlineExecutor()))
    return asked, report["selection_digest"]


def test_new_files_are_counted_alone_and_scored_alone_when_the_model_stays(run_select: Select, raw: Path) -> None:
    first = run_select(**settings(raw, refit="never"))
    assert first["fit"]["refitted"]
    add_file(raw)
    second = run_select(**settings(raw, refit="never"))
    n = second["stages"]["score"]["shards"]
    assert n >= N_FILES - 1
    assert reused(second)["count"] == (n, n + 1)  # and the target's
    assert reused(second)["score"] == (n - 1, n)
    assert not second["fit"]["refitted"]
    assert 0 < second["fit"]["drift_nats"] < 0.01
    assert second["model_digest"] == first["model_digest"]
    assert second["documents"]["raw"] == N_DOCUMENTS


def test_a_model_that_stays_keeps_its_classifier(run_select: Select, raw: Path, tmp_path: Path) -> None:
    asked = settings(raw, refit="never", method="heuristic-top-k")
    first = run_select(**asked)
    add_file(raw)
    second = run_select(**asked)
    n = second["stages"]["score"]["shards"]
    assert second["model_digest"] == first["model_digest"]
    assert reused(second)["score"] == (n - 1, n)
    assert run_select(**{**asked, "target": OTHER})["model_digest"] != first["model_digest"]
    (pointer,) = (path for path in (tmp_path / "workdir" / "classifier").glob("*.current") if _names(path, first))
    pointer.write_text("[]")
    third = run_select(**asked)
    assert len([note for note in third["notes"] if "classifier is fitted anew" in note]) == 1
    assert third["model_digest"] != first["model_digest"]
    assert run_select(**asked)["model_digest"] == third["model_digest"]
    always = run_select(**{**asked, "refit": "always"})
    assert always["model_digest"] not in (first["model_digest"], third["model_digest"])


def _names(pointer: Path, report: dict[str, Any]) -> bool:
    """Whether a pointer names the classifier in the model of a run."""
    (key,) = json.loads(pointer.read_text())["classifiers"]
    workdir = pointer.parents[1]
    with (
        np.load(workdir / "classifier" / f"{key}.npz") as classifier,
        np.load(workdir / "model" / f"{report['model_digest']}.npz") as model,
    ):
        return bool(np.array_equal(classifier["coefficients"], model["coefficients"]))


def test_a_new_model_is_that_of_an_undisturbed_run(run_select: Select, raw: Path, tmp_path: Path) -> None:
    first = run_select(**settings(raw))
    add_file(raw)
    second = run_select(**settings(raw))
    n = second["stages"]["score"]["shards"]
    assert reused(second)["count"] == (n, n + 1)
    assert reused(second)["score"] == (0, n)
    assert second["fit"] == {**second["fit"], "refitted": True, "drift_nats": 0.0}
    assert second["model_digest"] != first["model_digest"]
    afresh = run_select(**settings(raw), output=str(tmp_path / "afresh"), workdir=str(tmp_path / "afresh.work"))
    assert afresh["selection_digest"] == second["selection_digest"]


def test_auto_fits_anew_when_raw_has_drifted(run_select: Select, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_select(**settings(raw, refit="auto"))
    add_file(raw)
    monkeypatch.setattr("dsir_core.stages.fit.MAX_DRIFT_NATS", 1.0)
    assert run_select(**settings(raw, refit="auto"))["model_digest"] == first["model_digest"]
    monkeypatch.setattr("dsir_core.stages.fit.MAX_DRIFT_NATS", 1e-9)
    late = run_select(**settings(raw, refit="never"))
    assert any("drifted" in note for note in late["notes"])
    assert late["model_digest"] == first["model_digest"]
    again = run_select(**settings(raw, refit="auto"))
    assert again["model_digest"] != first["model_digest"]
    assert again["fit"]["refitted"]


@pytest.mark.parametrize(
    ("change", "counted", "scored"),
    [
        ({"count": 20}, True, True),
        ({"seed": 1}, True, True),
        ({"method": "top-k"}, True, True),
        ({"min_tokens": 10}, True, True),
        ({"target": OTHER}, "raw", False),
        ({"smoothing": 1.0}, True, False),
        ({"buckets": 5000}, False, False),
        ({"hash": "sha256"}, False, False),
        ({"text_field": ("text", "id")}, False, False),
    ],
)
def test_a_changed_setting_costs_what_depends_on_it(
    run_select: Select, raw: Path, change: dict[str, Any], counted: bool | str, scored: bool
) -> None:
    target = raw.parent / "target.jsonl"
    target.write_text("".join(json.dumps({"text": "some words", "id": "x"}) + "\n" for _ in range(9)))
    base = settings(raw, target={"t": str(target)})
    run_select(**base)
    second = run_select(**{**base, **change})
    n = second["stages"]["score"]["shards"]
    assert reused(second)["count"] == {True: (n + 1, n + 1), "raw": (n, n + 1), False: (0, n + 1)}[counted]
    assert reused(second)["score"] == ((n, n) if scored else (0, n))


def test_a_changed_file_costs_its_shard(run_select: Select, raw: Path) -> None:
    run_select(**settings(raw, refit="never"))
    path = raw / "003.jsonl"
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    second = run_select(**settings(raw, refit="never"))
    n = second["stages"]["score"]["shards"]
    assert reused(second)["score"] == (n - 1, n)


@pytest.mark.parametrize("kind", ["counts", "weights", "selection", "extract", "model", "raw-model"])
@pytest.mark.parametrize("damage", ["short", "flipped", "gone", "receipt", "receipt gone"])
def test_damaged_checkpoints_are_done_again_and_said(
    run_select: Select, lasting: tuple[dict[str, Any], str], kind: str, damage: str
) -> None:
    asked, digest = lasting
    files = sorted(Path(asked["workdir"], kind).iterdir())
    data = next(path for path in files if path.suffix not in (".json", ".current"))
    receipt = next(path for path in files if path.suffix == ".json")
    if damage == "short":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "flipped":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "gone":
        data.unlink()
    elif damage == "receipt":
        receipt.write_bytes(receipt.read_bytes().replace(b"1", b"2", 1))
    else:
        receipt.unlink()
    second = run_select(**asked)
    assert second["selection_digest"] == digest
    if damage != "receipt gone" and kind != "model":  # the model is made from the counts in every run
        assert any("damaged" in note for note in second["notes"])
    third = run_select(**asked)
    assert not any("damaged" in note for note in third["notes"])


def test_a_known_model_that_is_lost_is_made_anew_and_said(run_select: Select, raw: Path, tmp_path: Path) -> None:
    run_select(**settings(raw, refit="never"))
    folder = tmp_path / "workdir" / "raw-model"
    (pointer,) = folder.glob("*.current")
    known = pointer.read_text()
    for content in ("", "[]", "{}", known):
        pointer.write_text(content)
        if content == known:
            for path in folder.glob("*.npy"):
                path.with_suffix(".json").unlink()
        report = run_select(**settings(raw, refit="never"))
        assert report["fit"]["refitted"]
        assert len([note for note in report["notes"] if "fitted anew" in note]) == 1
        assert pointer.read_text() == known


def test_nothing_in_a_workdir_is_a_pickle(run_select: Select, raw: Path, tmp_path: Path) -> None:
    run_select(**settings(raw))
    suffixes = {path.suffix for path in (tmp_path / "workdir").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".npy", ".npz", ".parquet", ".zst", ".txt", ".current", ".jsonl", ".bin"}
    for path in (tmp_path / "workdir").rglob("*.np[yz]"):
        assert b"numpy.core" not in path.read_bytes()
