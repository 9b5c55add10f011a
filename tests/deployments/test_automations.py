"""Runs that an event starts, and failures that are told."""

from __future__ import annotations

import http.server
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.deployments.conftest import ROOT, Served, request
from tests.waiting import until

pytestmark = pytest.mark.server


@pytest.fixture
def webhook() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """The URL of a server on this machine, and what it is sent."""
    received: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hooks/s3cret", received
        server.shutdown()


def emit(served: Served, corpus: str, payload: dict[str, Any]) -> None:
    """What `prefect.events.emit_event` sends."""
    event = {
        "id": str(uuid4()),
        "event": "corpus.updated",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"dsir.corpus.{corpus}"},
        "payload": payload,
    }
    served.call("/events", [event])


def runs_to(served: Served, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.call("/flow_runs/filter", {})
    return [run for run in found if run["parameters"].get("config", {}).get("output") == f"{folder}/output"]


def test_an_updated_corpus_starts_a_selection_with_the_parameters_of_the_event(served: Served, tmp_path: Path) -> None:
    emit(served, "web", {"config": request(tmp_path, inline=True, seed=7)})
    (run,) = until(lambda: runs_to(served, tmp_path))
    assert served.wait(run["id"]) == "COMPLETED"
    assert json.loads((tmp_path / "output" / "report.json").read_text())["config"]["seed"] == 7


def test_an_event_with_a_wrong_request_starts_nothing(served: Served, tmp_path: Path) -> None:
    emit(served, "web", {"config": request(tmp_path / "wrong", hash="md5")})
    emit(served, "web", {"config": request(tmp_path / "right", inline=True)})
    until(lambda: runs_to(served, tmp_path / "right"))
    assert runs_to(served, tmp_path / "wrong") == []


def test_a_run_that_fails_is_told_and_one_that_completes_is_not(
    served: Served, tmp_path: Path, webhook: tuple[str, queue.Queue[dict[str, Any]]]
) -> None:
    url, received = webhook
    for _ in range(2):  # the second replaces the first: one automation, one message
        done = subprocess.run(
            [sys.executable, "-m", "deployments.notify", url],
            cwd=ROOT,
            env={**os.environ, "PREFECT_HOME": str(served.home), "PREFECT_API_URL": f"{served.url}/api"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stdout + done.stderr
    good = served.start("select", request(tmp_path / "good", inline=True))
    assert served.wait(good) == "COMPLETED"
    bad = served.start("resample", request(tmp_path / "bad", inline=True, min_tokens=10**6))
    assert served.wait(bad) == "FAILED"
    said = received.get(timeout=60)["text"]
    assert re.search(rf"select to {re.escape(str(tmp_path))}/bad/output at [-\d]+ [:\d]+ Failed", said)
    assert f"{served.url}/runs/flow-run/{bad}" in said
    assert received.empty()


def test_an_address_that_is_none_is_refused() -> None:
    words = [sys.executable, "-m", "deployments.notify", "hooks.example.org"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "https://" in done.stderr
