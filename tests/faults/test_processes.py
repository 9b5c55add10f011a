"""Whatever process dies, at whatever stage: the same bytes come out, at once or when the command is given again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import kill, kill_child, run_until, stage_begun, wait_for_end_of, words
from tests.integration.conftest import DEMO

SPEECHES = f"speeches={DEMO / 'targets' / 'speeches.jsonl'}"
SHARD_BYTES = "40000"
WORKER = "spawn_main"
STAGES = ("count", "score", "resample", "write")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own for Prefect, by which leftover processes are found too."""
    values = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**values, "PREFECT_HOME": str(tmp_path / "prefect")}


def command(folder: Path, pool: Path, *more: str) -> list[str]:
    places = ["--output", str(folder / "output"), "--workdir", str(folder / "work")]
    corpora = ["--raw", str(pool), "--target", SPEECHES, "--count", "70", "--shard-bytes", SHARD_BYTES]
    return words("select", *corpora, *places, *more)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "output").iterdir() if "report" not in path.name}


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "output" / "report.json").read_text())
    return found


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, pool: Path) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(folder, pool, "--inline"), check=True, stdout=subprocess.DEVNULL)
    return content(folder)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["inline", "dask"])
def test_the_run_itself_is_killed(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes], stage: str, how: str
) -> None:
    more = ("--inline",) if how == "inline" else ("--workers", "2")
    status, _ = run_until(command(tmp_path, pool, *more), environment, stage_begun(tmp_path / "work", stage), kill)
    assert status == -9
    assert not (tmp_path / "output" / "report.json").exists()
    wait_for_end_of(environment["PREFECT_HOME"])
    subprocess.run(command(tmp_path, pool, "--inline"), check=True, env=environment, stdout=subprocess.DEVNULL)
    assert content(tmp_path) == undisturbed
    stages = report(tmp_path)["stages"]
    done_before = {"count": (), "score": ("count",), "resample": ("count", "score"), "write": ("count", "score")}[stage]
    for name in done_before:
        assert stages[name]["reused"] == stages[name]["shards"] > 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_is_killed(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes], stage: str
) -> None:
    status, errors = run_until(
        command(tmp_path, pool, "--workers", "2"),
        environment,
        stage_begun(tmp_path / "work", stage),
        lambda pid: kill_child(pid, WORKER),
    )
    assert (status, errors) == (0, "")
    assert content(tmp_path) == undisturbed


def test_the_embedded_prefect_server_is_killed(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    status, errors = run_until(
        command(tmp_path, pool, "--workers", "2"),
        environment,
        stage_begun(tmp_path / "work", "score"),
        lambda pid: kill_child(pid, "embedded_server.py"),
    )
    if status:
        assert (status, "Prefect's server went away" in errors) == (1, True)
        assert "run the same command again" in errors
        subprocess.run(command(tmp_path, pool, "--inline"), check=True, env=environment, stdout=subprocess.DEVNULL)
    assert content(tmp_path) == undisturbed


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    small, saved = tmp_path / "work", tmp_path / "saved"
    small.mkdir()
    script = f'mount -t tmpfs -o size=600k none "{small}" && "$@"; status=$?; cp -a "{small}" "{saved}"; exit $status'
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*mounted, *command(tmp_path, pool, "--inline")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    small.rmdir()
    shutil.copytree(saved, small)
    subprocess.run(command(tmp_path, pool, "--inline"), check=True, env=environment, stdout=subprocess.DEVNULL)
    assert content(tmp_path) == undisturbed
    assert report(tmp_path)["stages"]["count"]["reused"] > 0


def test_two_runs_at_once_in_one_workdir(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    runs = []
    for name in "ab":
        places = ["--output", str(tmp_path / name / "output"), "--workdir", str(tmp_path / "work")]
        corpora = ["--raw", str(pool), "--target", SPEECHES, "--count", "70", "--shard-bytes", SHARD_BYTES]
        runs.append(subprocess.Popen(words("select", *corpora, *places, "--inline"), env=environment, stdout=-3))
    assert [run.wait() for run in runs] == [0, 0]
    assert content(tmp_path / "a") == content(tmp_path / "b") == undisturbed
