"""More than one host: scheduler and workers that share no disk, all data on S3, a host cut off in mid-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.events import Event, ShardDone
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tasks.cluster_settings import Address
from tasks.clusters import connect
from tasks.executor import DaskExecutor
from tests.faults.harness import BUCKET, Lake, credentials, fill
from tests.faults.processes import PROGRAM
from tests.hosts import Host, Hosts, hosts
from tests.s3 import s3_server

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.server

COPIES = 10
"""Of the demo's largest file: work enough for a host to go away and come back in the middle of it."""

FAST = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}
"""A scheduler that gives a host up after seconds, where production waits for minutes."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server, credentials(server):
        lake = fill(server)
        text = (ROOT / "demo" / "raw" / "pool-1.jsonl").read_bytes()
        for i in range(COPIES):
            lake.filesystem().pipe_file(f"{BUCKET}/many/{i}.jsonl", text)
        yield lake


def settings(lake: Lake, name: str) -> dict[str, Any]:
    return lake.settings(name, lake.server.endpoint, raw=f"s3://{BUCKET}/many", shard_bytes=100_000)


@pytest.fixture(scope="module")
def undisturbed(lake: Lake) -> dict[str, Any]:
    return select(Run(parse_config(settings(lake, "inline")), InlineExecutor()))


@pytest.fixture
def cluster(lake: Lake, tmp_path: Path) -> Iterator[tuple[Hosts, list[Host]]]:
    """A scheduler and two workers, each in a directory of its own; what they know of data is where S3 is."""
    with hosts(tmp_path) as found, credentials(lake.server) as mine:
        found.scheduler(**FAST)
        yield found, [found.worker(**FAST, **mine) for _ in range(2)]


def run_disturbed(lake: Lake, cluster: Hosts, name: str, disturb: Callable[[], None], after: int = 6) -> dict[str, Any]:
    """A run in which something happens, in a thread, once some shards are scored."""
    scored = 0
    disturbing = threading.Thread(target=disturb)

    def observe(event: Event) -> None:
        nonlocal scored
        if isinstance(event, ShardDone) and event.stage == "score":
            scored += 1
            if scored == after:
                disturbing.start()

    with connect(Address(address=cluster.address)) as client:
        report = select(Run(parse_config(settings(lake, name)), DaskExecutor(client), observe))
    disturbing.join()
    return report


def test_two_hosts_without_a_shared_disk_by_the_command(
    lake: Lake, cluster: tuple[Hosts, list[Host]], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    request = tmp_path / "request.yaml"
    request.write_text(json.dumps(settings(lake, "command") | {"cluster": {"address": cluster[0].address}}))
    command = [sys.executable, "-c", PROGRAM, "select", str(request)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment(tmp_path))
    assert lake.output("command") == lake.output("inline")
    for host in cluster[1]:
        assert not list(host.folder.rglob("*.jsonl*")) + list(host.folder.rglob("*.parquet"))


def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return inherited | {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(ROOT)}


def test_a_host_that_is_cut_off_and_comes_back(
    lake: Lake, cluster: tuple[Hosts, list[Host]], undisturbed: dict[str, Any]
) -> None:
    def cut_off_for_a_while() -> None:
        cluster[1][0].pause()
        time.sleep(10)
        cluster[1][0].go_on()

    report = run_disturbed(lake, cluster[0], "cut-off", cut_off_for_a_while)
    assert report["selection_digest"] == undisturbed["selection_digest"]
    assert lake.output("cut-off") == lake.output("inline")


def test_a_host_that_is_lost_and_another_that_joins(
    lake: Lake, cluster: tuple[Hosts, list[Host]], undisturbed: dict[str, Any]
) -> None:
    found, workers = cluster

    def replace() -> None:
        workers[0].kill()
        with credentials(lake.server) as mine:
            found.worker(**FAST, **mine)
        workers[1].kill()

    report = run_disturbed(lake, found, "replaced", replace)
    assert report["selection_digest"] == undisturbed["selection_digest"]
    assert lake.output("replaced") == lake.output("inline")
