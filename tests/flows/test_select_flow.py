"""The whole run by Prefect and Dask, as a user starts it: same selection as inline, interruption, resumption."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import DEMO, without_notes
from tests.waiting import until

PROGRAM = "import sys; from flows.cli import command; command()"
SPEECHES = f"speeches={DEMO / 'targets' / 'speeches.jsonl'}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home of its own for Prefect, and no server that runs already."""
    values = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**values, "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}


def command(tmp_path: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-c", PROGRAM, "select", "--raw", str(DEMO / "raw"), "--target", SPEECHES, "--count", "70",
        "--output", str(tmp_path / "output"), *words,
    ]  # fmt: skip


def report_of(tmp_path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((tmp_path / "output" / "report.json").read_text())
    return report


def files_of(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "output").iterdir() if "report" not in path.name}


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    subprocess.run(command(folder, "--inline", "--shard-bytes", "200000"), check=True, env=environment)
    return folder


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_any_number_of_workers_writes_the_same_bytes_as_inline(
    tmp_path: Path, environment: dict[str, str], inline: Path, workers: int
) -> None:
    words = command(tmp_path, "--workers", str(workers), "--shard-bytes", "200000")
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert (done.returncode, without_notes(done.stderr)) == (0, [])
    assert report_of(tmp_path)["selection_digest"] == report_of(inline)["selection_digest"]
    assert files_of(tmp_path) == files_of(inline)
    assert "KL reduction for speeches" in done.stdout


@pytest.mark.long
def test_nothing_is_left_running_after_a_run_and_prefect_has_recorded_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    subprocess.run(command(tmp_path, "--workers", "1"), check=True, capture_output=True, env=environment)
    mine = [process for process in psutil.process_iter(["environ"]) if is_mine(process, environment)]
    assert mine == []
    with sqlite3.connect(database_of(environment)) as database:
        runs = database.execute("select name, state_type from flow_run").fetchall()
        tasks = database.execute("select distinct name, state_type from task_run").fetchall()
    assert [state for name, state in runs if name.startswith(f"select to {tmp_path / 'output'} at ")] == ["COMPLETED"]
    stages = ("plan", "count", "fit", "score", "resample", "write", "report")
    assert {(stage, "COMPLETED") for stage in stages} <= set(tasks)


def is_mine(process: psutil.Process, environment: dict[str, str]) -> bool:
    found = process.info["environ"] or {}
    return process.pid != os.getpid() and found.get("PREFECT_HOME") == environment["PREFECT_HOME"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory with a short name: sockets stand in it, whose paths have at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="d") as folder:
        yield Path(folder)


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_ctrl_c_and_sigterm_stop_cleanly_and_the_same_command_goes_on(
    tmp_path: Path, scratch: Path, environment: dict[str, str], number: signal.Signals, status: int, word: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    source = (DEMO / "raw" / "pool-1.jsonl").read_bytes()
    for i in range(24):
        (raw / f"{i}.jsonl").write_bytes(source * 12)
    words = [*command(tmp_path, "--workers", "1"), "--raw", str(raw), "--shard-bytes", "1000000"]
    environment = {**environment, "TMPDIR": str(scratch)}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    until(lambda: len(list((tmp_path / "output.work").glob("counts/*.json"))) > 3)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert f"{word}. What is finished is kept." in said
    assert "to go on: dsir select --raw" in said
    assert "Traceback" not in said
    assert list(scratch.glob("dsir-*")) == []
    assert [found for found in psutil.process_iter(["environ"]) if is_mine(found, environment)] == []
    with sqlite3.connect(database_of(environment)) as database:
        query = "select state_type from flow_run order by start_time desc limit 1"
        assert database.execute(query).fetchall() == [("CRASHED",)]
    done = len(list((tmp_path / "output.work").glob("counts/*.json")))
    subprocess.run(words, check=True, capture_output=True, env=environment)
    assert report_of(tmp_path)["stages"]["count"]["reused"] >= done


def database_of(environment: dict[str, str]) -> Path:
    return Path(environment["PREFECT_HOME"]) / "dsir" / f"embedded-{version('prefect')}.db"


@pytest.mark.long
def test_a_failure_in_the_flow_is_one_line_and_status_1(tmp_path: Path, environment: dict[str, str]) -> None:
    words = command(tmp_path, "--workers", "1", "--min-tokens", "1000000")
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "lower --min-tokens" in done.stderr
    assert len(without_notes(done.stderr)) == 1


@pytest.mark.long
def test_methods_are_compared_by_workers_as_inline(tmp_path: Path, environment: dict[str, str]) -> None:
    figures = []
    for words in (["--inline"], ["--workers", "2", "--shard-bytes", "200000"]):
        output = tmp_path / words[0].strip("-")
        line = [
            *(sys.executable, "-c", PROGRAM, "compare", str(DEMO / "demo.yaml"), "--raw", str(DEMO / "raw")),
            *("--target", SPEECHES, "--output", str(output), "--workdir", f"{output}.work", *words),
        ]
        done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=DEMO.parent)
        assert (done.returncode, without_notes(done.stderr)) == (0, [])
        found = json.loads((output / "compare.json").read_text())
        for name, method in found["methods"].items():
            assert re.search(rf"{name} +70 +{method['tokens']:,} +\d+% +{method['kl_reduction']:.3f} ", done.stdout)
        assert f"comparison {output}/compare.html" in done.stdout
        assert sorted(path.name for path in output.iterdir()) == ["compare.html", "compare.json"]
        figures.append(found)
    inline, dask = figures
    assert dask["stages"]["compare"]["shards"] > inline["stages"]["compare"]["shards"]
    for figure in ("targets", "overlap", "labels", "documents", "model_digest"):
        assert dask[figure] == inline[figure]
    chosen = ("documents", "tokens", "kl_reduction", "targets")
    assert [[m[c] for c in chosen] for m in dask["methods"].values()] == [
        [m[c] for c in chosen] for m in inline["methods"].values()
    ]
    status = [sys.executable, "-c", PROGRAM, "status", f"{output}.work"]
    assert "compare.html: ended" in subprocess.run(status, capture_output=True, text=True, check=True).stdout
