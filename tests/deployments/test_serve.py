"""`make serve`: what a newcomer starts; runs by the API, refusals, turns at a workdir, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.deployments.conftest import ROOT, Served, request, serving
from tests.waiting import until

pytestmark = pytest.mark.server


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "output" / "report.json").read_text())
    return found


def test_a_run_on_demand_gives_what_the_command_gives(served: Served, tmp_path: Path) -> None:
    run = served.start("select", request(tmp_path / "a"), cluster={"local": {"workers": 1}})
    words = ["--raw", "demo/raw", "--target", "speeches=demo/targets/speeches.jsonl", "--count", "70", "--inline"]
    program = "import sys; from flows.cli import command; command()"
    command = [sys.executable, "-c", program, "select", *words, "--output", str(tmp_path / "b" / "output")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert served.wait(run) == "COMPLETED"
    assert report(tmp_path / "a")["selection_digest"] == report(tmp_path / "b")["selection_digest"]
    assert served.get(f"/flow_runs/{run}")["name"].startswith(f"select to {tmp_path}/a/output at 20")
    served.hears(run, "score: 1 shard")
    limits = served.call("/v2/concurrency_limits/filter", {})
    assert not [limit for limit in limits if limit["name"].startswith("dsir-workdir-")]


@pytest.mark.parametrize("wrong", [{"count": None}, {"hash": "md5"}, {"mintokens": 3}, {"output": ""}], ids=str)
def test_a_wrong_request_is_refused_before_it_runs(served: Served, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError) as failure:
        served.start("select", request(tmp_path) | wrong)
    assert failure.value.response.status_code == 409
    assert "Validation failed" in failure.value.response.text


def test_what_only_the_run_can_know_to_be_wrong_fails_it_and_says_so(served: Served, tmp_path: Path) -> None:
    run = served.start("select", request(tmp_path, inline=True, whole_documents=True))
    assert served.wait(run) == "FAILED"
    served.hears(run, "whole_documents has a meaning only when documents are cut")


def test_two_runs_at_one_workdir_take_turns(served: Served, tmp_path: Path) -> None:
    workdir = str(tmp_path / "work")
    first = request(tmp_path / "a", inline=True, workdir=workdir)
    second = request(tmp_path / "b", inline=True, workdir=f"{workdir}/", seed=1)
    runs = [served.start("select", first), served.start("resample", second)]
    assert [served.wait(run) for run in runs] == ["COMPLETED"] * 2
    reused = sorted(report(tmp_path / name)["stages"]["score"]["reused"] for name in "ab")
    assert reused[0] == 0
    assert reused[1] > 0


def test_a_second_run_of_a_deployment_waits_and_a_second_night_is_left_out(served: Served, tmp_path: Path) -> None:
    first, second = (served.start("select", request(tmp_path / name, inline=True)) for name in "ab")
    nights = [served.start("select-nightly", request(tmp_path / name, inline=True)) for name in "cd"]
    assert [served.wait(run) for run in (first, second)] == ["COMPLETED"] * 2
    begun, ended = zip(
        *sorted(map(span, map(served.get, (f"/flow_runs/{run}" for run in (first, second))))), strict=True
    )
    assert ended[0] <= begun[1]
    assert sorted(served.wait(run) for run in nights) == ["CANCELLED", "COMPLETED"]


def span(run: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(run["start_time"]), datetime.fromisoformat(run["end_time"])


def test_the_cluster_of_runs_that_name_none_is_a_variable(served: Served, tmp_path: Path) -> None:
    made = served.call(
        "/variables/", {"name": "dsir_cluster", "value": {"address": "tcp://127.0.0.1:9", "wait_seconds": 1}}
    )
    try:
        run = served.start("select", request(tmp_path))
        served.hears(run, "no Dask scheduler answers at tcp://127.0.0.1:9")
        # A scheduler may come back: the run is to be entered again in a minute, which nobody waits for here.
        until(lambda: served.state(run) == "SCHEDULED")
        served.call(f"/flow_runs/{run}", method="DELETE")
    finally:
        served.call(f"/variables/{made['id']}", method="DELETE")


def test_the_night_runs_by_its_schedule_once_it_is_active(served: Served, tmp_path: Path) -> None:
    nightly = served.deployment("select-nightly")
    (schedule,) = nightly["schedules"]
    assert schedule["active"] is False
    config = request(tmp_path, inline=True, refit="auto", overwrite=True)
    served.call(f"/deployments/{nightly['id']}", {"parameters": {"config": config}}, "PATCH")
    every = {"interval": 15.0, "anchor_date": "2026-01-01T00:00:00Z"}
    change = {"active": True, "schedule": every}
    served.call(f"/deployments/{nightly['id']}/schedules/{schedule['id']}", change, "PATCH")
    of_it = {
        "deployments": {"id": {"any_": [nightly["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    try:
        until(lambda: [run for run in served.call("/flow_runs/filter", of_it) if run["auto_scheduled"]])
    finally:
        change = {"active": False, "schedule": schedule["schedule"]}
        served.call(f"/deployments/{nightly['id']}/schedules/{schedule['id']}", change, "PATCH")
    assert (tmp_path / "output" / "report.json").is_file()


def test_ctrl_c_ends_everything_and_a_run_under_way_goes_on_with_the_next(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    source = (ROOT / "demo" / "raw" / "pool-1.jsonl").read_bytes()
    for i in range(12):
        (raw / f"{i}.jsonl").write_bytes(source * 12)
    config = request(tmp_path, raw=[str(raw)], shard_bytes=1_000_000)
    home = tmp_path / "prefect"
    with serving(home) as first:
        first.start("select", config, cluster={"local": {"workers": 1}})
        counted = tmp_path / "output.work" / "counts"
        until(lambda: len(list(counted.glob("*.json"))) > 3)
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(timeout=90) == 0
        assert not (tmp_path / "output" / "report.json").exists()
    assert (home / "serve.log").read_text().rstrip().endswith("stopped")
    assert [process for process in psutil.process_iter(["environ"]) if is_of(process, home)] == []
    done = len(list(counted.glob("*.json")))
    with serving(home) as second:
        assert second.wait(second.start("select", config, cluster={"local": {"workers": 1}})) == "COMPLETED"
    assert report(tmp_path)["stages"]["count"]["reused"] >= done


def is_of(process: psutil.Process, home: Path) -> bool:
    found = process.info["environ"] or {}
    return process.pid != os.getpid() and found.get("PREFECT_HOME") == str(home)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        words = [sys.executable, "-m", "deployments.serve", "--port", str(port)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_start_works_where_it_was_started_and_ends_only_its_own_runs(tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        with serving(home, folder) as served:
            deployment = served.deployment("select")
            assert deployment["job_variables"]["working_dir"] == str(folder)
            if name == "first":
                theirs = {"name": "of another project", "flow_id": deployment["flow_id"], "work_pool_name": "default"}
                made = served.call("/deployments/", theirs)["id"]
                later = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}}
                run = served.call(f"/deployments/{made}/create_flow_run", later)["id"]
                running = {"state": {"type": "RUNNING"}, "force": True}
                served.call(f"/flow_runs/{run}/set_state", running)
            assert served.state(run) == "RUNNING"


def test_commands_of_this_user_find_the_server(served: Served) -> None:
    file = served.home / "dsir" / "serve.json"
    assert file.stat().st_mode & 0o777 == 0o600
    found = json.loads(file.read_text())
    assert (found["url"], found["pid"]) == (f"{served.url}/api", served.process.pid)
