"""A run whose workers are jobs of a real Slurm."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.events import Event, ShardDone
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tasks.cluster_settings import parse_cluster
from tasks.clusters import open_cluster
from tasks.executor import DaskExecutor
from tests.integration.conftest import DEMO
from tests.slurm import PARTITION, slurm
from tests.tasks.functions import Item, hold
from tests.waiting import until

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm(Path(folder)) as found:
        yield found


def cluster(folder: Path) -> dict[str, Any]:
    """The settings of docs/clusters.md, for a node on this machine."""
    options = {
        "queue": PARTITION,
        "cores": 1,
        "processes": 1,
        "memory": "2 GB",
        "walltime": "00:30:00",
        "interface": "lo",
        "log_directory": str(folder / "logs"),
        "job_script_prologue": ["trap : TERM"],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
    }
    return {"class": "dask_jobqueue.SLURMCluster", "options": options, "workers": 1}


@pytest.fixture(autouse=True)
def _use_slurm(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**environment, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)


def said(folder: Path) -> list[str]:
    """The log of each job."""
    return [path.read_text() for path in (folder / "logs").iterdir()]


def test_a_job_that_is_cancelled_finishes_its_shard(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    with open_cluster(parse_cluster(cluster(tmp_path))) as client:
        found: list[object] = []
        outcomes = DaskExecutor(client).map(hold, [Item(0, runs)], name="count")
        consumer = threading.Thread(target=lambda: found.extend((o.result, o.error) for o in outcomes))
        consumer.start()
        until((runs / "0").exists)
        subprocess.run(["scancel", "--partition", PARTITION], check=True)
        until(lambda: any("Draining" in log for log in said(tmp_path)))
        (runs / "gate").touch()
        consumer.join(120)
        assert found == [(0, None)]
        assert (runs / "0").read_text() == "()"


def test_jobs_that_reach_their_time_limit_are_replaced_and_the_selection_is_the_same(tmp_path: Path) -> None:
    def request(name: str) -> SelectConfig:
        target = {"speeches": [str(DEMO / "targets" / "speeches.jsonl")]}
        values = {"raw": [str(DEMO / "raw")], "target": target, "output": str(tmp_path / name), "count": 70}
        return parse_config({**values, "shard_bytes": 100_000})

    def is_over() -> bool:
        return any("DUE TO TIME LIMIT" in log and "Draining" in log for log in said(tmp_path))

    def observe(event: Event) -> None:
        if isinstance(event, ShardDone):  # the run goes on with what is left when the first job has ended
            until(is_over)

    settings = cluster(tmp_path)
    del settings["workers"]
    settings["options"]["walltime"] = "00:01:00"
    with open_cluster(parse_cluster({**settings, "adaptive": {"minimum": 1, "maximum": 1}})) as client:
        found = select(Run(request("slurm"), DaskExecutor(client), observe))
    assert len(said(tmp_path)) > 1
    assert found["stages"]["count"]["shards"] > 10
    expected = select(Run(request("here"), InlineExecutor()))
    assert found["selection_digest"] == expected["selection_digest"]
