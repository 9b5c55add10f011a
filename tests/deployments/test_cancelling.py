"""A run that is cancelled in Prefect's UI: its shards stop, nothing of it stays, and the next run goes on."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.deployments.conftest import ROOT, Served, request
from tests.waiting import until

pytestmark = pytest.mark.server

CANCEL_SECONDS = 60.0
"""Patience of the test, not a promise: a busy machine is slow to end processes."""


def processes_of(home: Path) -> set[int]:
    """Processes whose environment names a home of Prefect's."""
    found = set()
    for process in psutil.process_iter(["environ", "status"]):
        mine = (process.info["environ"] or {}).get("PREFECT_HOME") == str(home)
        if mine and process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.add(process.pid)
    return found


def corpus(folder: Path) -> dict[str, Any]:
    """Small shards, and behind them one that takes a worker half a minute or more."""
    source = (ROOT / "demo" / "raw" / "pool-1.jsonl").read_bytes()
    folder.mkdir()
    for i in range(8):
        (folder / f"a-{i}.jsonl").write_bytes(source * 12)
    member = gzip.compress(source * 20, 1)
    with (folder / "b.jsonl.gz").open("wb") as stream:
        for _ in range(3 * 10**9 // (20 * len(source))):
            stream.write(member)
    return {"raw": [str(folder)], "shard_bytes": 1_000_000}


def test_cancelling_stops_the_shards_and_the_next_run_goes_on(served: Served, tmp_path: Path) -> None:
    config = request(tmp_path, **corpus(tmp_path / "raw"))
    cluster = {"local": {"workers": 1}}
    before = processes_of(served.home)
    run = served.start("select", config, cluster=cluster)
    counted = tmp_path / "output.work" / "counts"
    until(lambda: len(list(counted.glob("*.json"))) >= 8)
    assert len(processes_of(served.home) - before) >= 2
    served.call(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    until(lambda: served.state(run) in ("CANCELLED", "CRASHED"), CANCEL_SECONDS)
    assert served.state(run) == "CANCELLED"
    until(lambda: processes_of(served.home) <= before, CANCEL_SECONDS)
    assert not (tmp_path / "output").exists()
    assert not list((tmp_path / "output.work").rglob(".incoming-*"))

    (tmp_path / "raw" / "b.jsonl.gz").unlink()
    done = len(list(counted.glob("*.json")))
    assert served.wait(served.start("select", config, cluster=cluster)) == "COMPLETED"
    stages = json.loads((tmp_path / "output" / "report.json").read_text())["stages"]
    assert stages["count"]["reused"] >= done > 0
