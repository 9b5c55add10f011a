"""More than one host: scheduler and workers that share no disk, all data on S3, a host cut off in mid-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.events import Event, ShardDone, StageEnds
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tasks.cluster_settings import Address
from tasks.clusters import connect
from tasks.executor import DaskExecutor
from tests.faults.harness import BUCKET, Lake, credentials, fill
from tests.faults.processes import PROGRAM
from tests.hosts import Host, Hosts, hosts
from tests.s3 import s3_server
from tests.waiting import until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.server

COPIES = 10
"""Of the demo's largest file: work enough for a host to go away and come back in the middle of it."""

FAST = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "12s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}
"""A scheduler that gives a host up after seconds, where production waits for minutes."""

SHARDS_BEFORE = 6
"""Scored before a disturbance."""


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
def cluster(lake: Lake, tmp_path: Path) -> Iterator[Hosts]:
    """A scheduler, each host in a directory of its own; what workers know of data is where S3 is."""
    with hosts(tmp_path) as found, credentials(lake.server):
        found.scheduler(**FAST)
        yield found


def worker(cluster: Hosts, lake: Lake, name: str) -> Host:
    """A host that has joined with one worker of this name."""
    with credentials(lake.server) as mine:
        return cluster.worker("--name", name, **FAST, **mine)


def until_workers_are(client: Client, expected: set[str]) -> None:
    """Wait until the scheduler knows just these workers."""
    until(lambda: names(client) == expected)


def names(client: Client) -> set[str]:
    return {one["name"] for one in client.scheduler_info(n_workers=-1)["workers"].values()}


def run_disturbed(lake: Lake, cluster: Hosts, name: str, disturb: Callable[[Client], None]) -> dict[str, Any]:
    """A run in which something happens in a thread once some shards are scored, and has before scoring ends."""
    scored = 0
    with ThreadPoolExecutor(1) as thread, connect(Address(address=cluster.address)) as client:
        disturbing: Future[None] | None = None

        def observe(event: Event) -> None:
            nonlocal scored, disturbing
            if isinstance(event, ShardDone) and event.stage == "score":
                scored += 1
                if scored == SHARDS_BEFORE:
                    disturbing = thread.submit(disturb, client)
            elif isinstance(event, StageEnds) and event.stage == "score":
                assert disturbing is not None
                disturbing.result()

        report = select(Run(parse_config(settings(lake, name)), DaskExecutor(client), observe))
    assert report["stages"]["score"]["shards"] == scored > SHARDS_BEFORE
    return report


def test_two_hosts_without_a_shared_disk_by_the_command(
    lake: Lake, cluster: Hosts, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    workers = [worker(cluster, lake, name) for name in ("one", "other")]
    request = tmp_path / "request.yaml"
    request.write_text(json.dumps(settings(lake, "command") | {"cluster": {"address": cluster.address}}))
    command = [sys.executable, "-c", PROGRAM, "select", str(request)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment(tmp_path))
    assert lake.output("command") == lake.output("inline")
    for host in workers:
        assert not list(host.folder.rglob("*.jsonl*")) + list(host.folder.rglob("*.parquet"))


def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return inherited | {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(ROOT)}


def test_a_host_that_is_cut_off_and_comes_back(lake: Lake, cluster: Hosts, undisturbed: dict[str, Any]) -> None:
    stays, goes = worker(cluster, lake, "stays"), worker(cluster, lake, "goes")

    def cut_off_until_it_is_given_up(client: Client) -> None:
        """What has been given up ends by itself, or joins anew, as soon as it hears of it."""
        until_workers_are(client, {"stays", "goes"})
        goes.pause()
        until_workers_are(client, {"stays"})
        goes.go_on()
        until(lambda: goes.process.poll() is not None or names(client) == {"stays", "goes"})

    report = run_disturbed(lake, cluster, "cut-off", cut_off_until_it_is_given_up)
    assert stays.process.poll() is None
    assert report["selection_digest"] == undisturbed["selection_digest"]
    assert lake.output("cut-off") == lake.output("inline")


def test_a_host_that_is_lost_and_another_that_joins(lake: Lake, cluster: Hosts, undisturbed: dict[str, Any]) -> None:
    lost = [worker(cluster, lake, name) for name in ("one", "other")]

    def replace(client: Client) -> None:
        lost[0].kill()
        until_workers_are(client, {"other"})
        worker(cluster, lake, "new")
        lost[1].kill()
        until_workers_are(client, {"new"})

    report = run_disturbed(lake, cluster, "replaced", replace)
    assert report["selection_digest"] == undisturbed["selection_digest"]
    assert lake.output("replaced") == lake.output("inline")
