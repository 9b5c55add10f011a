"""Whatever process dies, at whatever stage: the same bytes come out, at once or when the command is given again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.events import StageBegins, StageEnds
from dsir_core.stages.run import Run
from flows.prefect_server import is_prefect_server
from tasks import speculation
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tests.faults.processes import (
    kill,
    kill_child,
    kill_tree,
    kill_worker,
    run_until,
    stage_begun,
    wait_for_end_of,
    words,
)
from tests.integration.conftest import DEMO, without_notes

SPEECHES = f"speeches={DEMO / 'targets' / 'speeches.jsonl'}"
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long

SHARD_BYTES = "40000"
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
        kill_worker,
    )
    assert (status, without_notes(errors)) == (0, [])
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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Client, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers with nannies, each a process that nobody looks after."""
    dask = str(Path(sys.executable).with_name("dask"))
    file, folder = str(tmp_path / "scheduler.json"), str(tmp_path / "dask")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    worker = [
        dask,
        "worker",
        "--scheduler-file",
        file,
        "--nthreads",
        "1",
        "--no-dashboard",
        "--local-directory",
        folder,
    ]
    processes = [subprocess.Popen(command, cwd=ROOT, **quiet) for command in (scheduler, worker, worker)]  # type: ignore[call-overload]
    try:
        with Client(scheduler_file=file, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client, processes[1:]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


@pytest.mark.parametrize("stage", STAGES)
def test_a_nanny_is_killed(
    tmp_path: Path,
    pool: Path,
    undisturbed: dict[str, bytes],
    cluster: tuple[Client, list[subprocess.Popen[bytes]]],
    stage: str,
) -> None:
    client, nannies = cluster
    values = {
        "raw": str(pool),
        "target": {"speeches": SPEECHES.partition("=")[2]},
        "count": 70,
        "shard_bytes": int(SHARD_BYTES),
        "output": str(tmp_path / "output"),
        "workdir": str(tmp_path / "work"),
    }
    run = Run(parse_config(values), DaskExecutor(client))

    def observe(event: object) -> None:
        if isinstance(event, StageBegins) and event.stage == stage:
            nannies[0].kill()

    run.observe = observe
    select(run)
    assert content(tmp_path) == undisturbed


@pytest.mark.parametrize("stage", ["count", "score"])
def test_a_worker_hangs_and_comes_back(
    tmp_path: Path, pool: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(speculation, "MIN_SECONDS", 1.0)
    values = {
        "raw": str(pool),
        "target": {"speeches": SPEECHES.partition("=")[2]},
        "count": 70,
        "shard_bytes": int(SHARD_BYTES),
        "output": str(tmp_path / "output"),
        "workdir": str(tmp_path / "work"),
    }
    with local_cluster(2) as client:
        pid = next(iter(client.run(os.getpid).values()))
        signals = {StageBegins: signal.SIGSTOP, StageEnds: signal.SIGCONT}

        def observe(event: object) -> None:
            if isinstance(event, StageBegins | StageEnds) and event.stage == stage:
                with suppress(ProcessLookupError):  # on a slow machine Dask may have replaced it by then
                    os.kill(pid, signals[type(event)])

        select(Run(parse_config(values), DaskExecutor(client), observe))
    assert content(tmp_path) == undisturbed


def test_a_separate_prefect_server_is_killed(
    tmp_path: Path, pool: Path, environment: dict[str, str], undisturbed: dict[str, bytes]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    start = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen(start, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 120
        while not is_prefect_server(url) and time.monotonic() < deadline:
            time.sleep(0.2)
        # The client's own five retries take more than a minute.
        with_server = {**environment, "PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "1"}
        status, errors = run_until(
            command(tmp_path, pool, "--workers", "2"),
            with_server,
            stage_begun(tmp_path / "work", "score"),
            lambda _: kill_tree(server.pid),
        )
    if status:
        assert (status, "Prefect's server went away" in errors) == (1, True)
        subprocess.run(command(tmp_path, pool, "--inline"), check=True, env=environment, stdout=subprocess.DEVNULL)
    assert content(tmp_path) == undisturbed
