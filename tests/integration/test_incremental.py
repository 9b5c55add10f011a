"""A run pays only for what changed, however it ends up with the same answer; a workdir says what it holds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsir_core.checkpoints.manifest import of_runs, recorded_runs
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import score_only, select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from flows.cli import main
from tests.integration.conftest import DEMO, TARGET, Select

OTHER = {"code": str(DEMO / "targets" / "go_code.jsonl")}
N_FILES = 10
N_DOCUMENTS = 600


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


def files_of(pool: Path, parent: Path) -> Path:
    lines = pool.read_bytes().splitlines(keepends=True)[:N_DOCUMENTS]
    folder = parent / "raw"
    folder.mkdir()
    for i in range(N_FILES):
        (folder / f"{i:03}.jsonl").write_bytes(b"".join(lines[i::N_FILES]))
    (folder / f"{N_FILES - 1:03}.jsonl").rename(parent / "new.jsonl")
    return folder


def add_file(raw: Path) -> None:
    (raw.parent / "new.jsonl").rename(raw / f"{N_FILES - 1:03}.jsonl")


def reused(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {name: (stage["reused"], stage["shards"]) for name, stage in report["stages"].items()}


def settings(raw: Path, **more: Any) -> dict[str, Any]:
    size = max(path.stat().st_size for path in raw.iterdir())
    return {"raw": str(raw), "target": TARGET, "count": 70, "shard_bytes": size, "overwrite": True, **more}


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


def test_status_says_what_is_complete_and_missing(
    run_select: Select, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_select(**settings(raw))
    n = report["stages"]["score"]["shards"]
    workdir = tmp_path / "workdir"
    next(path for path in (workdir / "weights").iterdir() if path.suffix == ".json").unlink()
    assert main(["status", str(workdir)]) == 0
    said = capsys.readouterr().out
    assert f"{n - 1:,} of {n:,} shards, 1 missing" in said
    assert f"{tmp_path}/output: ended" in said
    assert "MB/s" in said


def test_status_of_a_run_for_weights_alone(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workdir = str(tmp_path / "workdir")
    config = parse_config({**settings(raw), "count": None, "workdir": workdir}, sized=False, output=False)
    _, scores = score_only(Run(config, InlineExecutor()))
    n = len(scores.shards)
    assert main(["status", workdir]) == 0
    said = capsys.readouterr().out
    assert "weights only: ended" in said
    assert f"{n:,} of {n:,} shards" in said.partition("score ")[2]
    assert "not begun" not in said


def test_a_refused_request_leaves_the_record_of_a_good_run(run_select: Select, raw: Path, tmp_path: Path) -> None:
    run_select(**settings(raw))
    before = recorded_runs(Store(str(tmp_path / "workdir")))
    with pytest.raises(RequestError, match="no-such-file"):
        run_select(**{**settings(raw), "raw": str(raw / "no-such-file.jsonl"), "overwrite": True})
    (run,) = recorded_runs(Store(str(tmp_path / "workdir")))
    assert run.ended is not None
    assert [run] == before


def test_clean_removes_what_no_last_run_needs_and_nothing_else(
    run_select: Select, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "workdir"
    run_select(**settings(raw))
    other = run_select(**settings(raw, target=OTHER), output=str(tmp_path / "other"))
    add_file(raw)
    last = run_select(**settings(raw))
    (workdir / "weights" / ".incoming-x").write_text("of a process that was killed")
    entries = Store(str(workdir)).entries()
    names = [entry.name for entry in entries]
    assert of_runs(entries) == entries

    assert main(["clean", str(workdir)]) == 0  # all is young
    assert Store(str(workdir)).names() == names
    for path in workdir.rglob("*"):
        os.utime(path, (time.time() - 10**6,) * 2)
    assert main(["clean", str(workdir), "--dry-run"]) == 0
    assert Store(str(workdir)).names() == names
    said = capsys.readouterr().out
    assert "would be removed" in said
    assert main(["clean", str(workdir)]) == 0
    left = Store(str(workdir)).names()
    assert set(left) < set(names)
    assert "weights/.incoming-x" not in left
    for change, before in (({}, last), ({"target": OTHER, "output": str(tmp_path / "other")}, other)):
        again = run_select(**settings(raw, **change))
        n = again["stages"]["score"]["shards"]
        assert reused(again)["count"] == (n + 1, n + 1)
        if before is last:
            assert reused(again)["score"] == (n, n)
            assert again["selection_digest"] == last["selection_digest"]

    assert main(["clean", str(workdir), "--hours", "0", "--forget", str(tmp_path / "other")]) == 0
    assert len(Store(str(workdir)).names()) < len(left)
    assert run_select(**settings(raw))["stages"]["score"]["reused"] == n


def test_clean_leaves_what_no_run_has_written_to_the_workdir(run_select: Select, raw: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "workdir"
    output = workdir / "out"
    run_select(**settings(raw), output=str(output))
    foreign = [workdir / name for name in ("notes.txt", "weights/mine.parquet", "runs/notes.txt", "corpus/a.jsonl")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    stale = workdir / "weights" / f"{'0' * 64}.parquet"
    stale.write_text("of a run that nobody remembers")
    for path in workdir.rglob("*"):
        os.utime(path, (time.time() - 10**6,) * 2)
    before = {path for path in workdir.rglob("*") if path.is_file()}
    assert main(["clean", str(workdir)]) == 0
    assert {path for path in workdir.rglob("*") if path.is_file()} == before - {stale}
    assert main(["clean", str(workdir), "--forget", str(output)]) == 0
    left = {path for path in workdir.rglob("*") if path.is_file()}
    assert left == {*foreign, *(path for path in output.iterdir())}


def test_status_of_a_folder_that_is_no_workdir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "corpus.jsonl").write_text("{}")
    assert main(["status", str(tmp_path)]) == 2
    assert "no workdir there" in capsys.readouterr().err


def test_clean_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(tmp_path)]) == 2
    assert "no workdir there" in capsys.readouterr().err
