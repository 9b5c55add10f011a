"""A run whose workers are jobs of a real Slurm."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.cluster_settings import parse_cluster
from tasks.clusters import open_cluster
from tasks.executor import DaskExecutor
from tests.slurm import PARTITION, slurm
from tests.tasks.functions import Item, hold, until

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


def test_a_job_that_is_cancelled_finishes_its_shard(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    runs = tmp_path / "runs"
    runs.mkdir()
    with open_cluster(parse_cluster(cluster(tmp_path))) as client:
        found: list[object] = []
        outcomes = DaskExecutor(client).map(hold, [Item(0, runs)], name="count")
        consumer = threading.Thread(target=lambda: found.extend((o.result, o.error) for o in outcomes))
        consumer.start()
        until((runs / "0").exists)
        subprocess.run(["scancel", "--partition", PARTITION], check=True)
        until(lambda: any("Draining" in path.read_text() for path in (tmp_path / "logs").iterdir()))
        (runs / "gate").touch()
        consumer.join(120)
        assert found == [(0, None)]
        assert (runs / "0").read_text() == "()"
