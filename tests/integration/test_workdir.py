"""What `dsir status` says of a workdir, and what `dsir clean` removes from it."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from dsir_core.checkpoints.manifest import of_runs, recorded_runs
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import score_only
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from flows.cli import main
from tests.integration.conftest import Select
from tests.integration.growing import OTHER, add_file, files_of, reused, settings


@pytest.fixture
def raw(pool: Path, tmp_path: Path) -> Path:
    """Documents of the demo in several files, each a shard of its own; the last is not there yet."""
    return files_of(pool, tmp_path)


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
    assert re.search(r"files more, .* are younger than 24 hours: --hours 0 removes them", capsys.readouterr().out)
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

    shutil.rmtree(tmp_path / "other")
    capsys.readouterr()
    assert main(["clean", str(workdir)]) == 0
    assert f"{tmp_path / 'other'} is gone: --forget {tmp_path / 'other'} removes" in capsys.readouterr().out
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
