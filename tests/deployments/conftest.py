"""What `make serve` starts, for tests: a server with a home and a port of its own, a worker, the deployments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.waiting import until

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
READY_SECONDS = 180.0
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Served:
    """Everything that `make serve` has started."""

    url: str
    home: Path
    process: subprocess.Popen[str]

    def call(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """The JSON that the API answers, asked again while its database is busy; raises httpx.HTTPStatusError."""
        for _ in range(20):
            answer = httpx.request(method, f"{self.url}/api{path}", json=body, timeout=30, trust_env=False)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        """See `call`."""
        return self.call(path, method="GET")

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name."""
        (found,) = self.call("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        deployment: dict[str, Any] = found
        return deployment

    def start(self, name: str, config: dict[str, Any], **parameters: Any) -> str:
        """Start a run of a deployment; its id."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        run: str = self.call(path, {"parameters": {"config": config, **parameters}})["id"]
        return run

    def state(self, run: str) -> str:
        """Type of a flow run's state."""
        found: str = self.get(f"/flow_runs/{run}")["state_type"]
        return found

    def wait(self, run: str) -> str:
        """The state in which a flow run has ended."""
        until(lambda: self.state(run) in ENDED)
        return self.state(run)

    def hears(self, run: str, words: str) -> None:
        """Wait until some words are in the log of a flow run: it arrives behind the states."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
        until(lambda: any(words in line["message"] for line in self.call("/logs/filter", asked)), 60)


def request(folder: Path, **more: Any) -> dict[str, Any]:
    """A request for a few documents of the demo corpus."""
    target = {"speeches": [str(DEMO / "targets" / "speeches.jsonl")]}
    return {"raw": [str(DEMO / "raw")], "target": target, "output": str(folder / "output"), "count": 70, **more}


@contextmanager
def serving(home: Path, folder: Path = ROOT, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """`make serve` in a folder, with nothing in its environment but what a user has, and some settings of Prefect."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home.mkdir(parents=True, exist_ok=True)
    log = home / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.serve", "--port", str(port)],
            cwd=folder,
            env={**inherited, **(settings or {}), "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=stream,
            text=True,
            start_new_session=True,
        )
    served = Served(f"http://127.0.0.1:{port}", home, process)
    try:
        until(lambda: "started!" in log.read_text() or process.poll() is not None, READY_SECONDS)
        assert process.poll() is None, log.read_text()
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=90)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One of them for all tests that leave it as it is."""
    with serving(tmp_path_factory.mktemp("served") / "prefect") as found:
        yield found
