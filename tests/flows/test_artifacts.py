"""Artifacts are written beside the run, and a request that fails is not the end of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dsir_core.runtime.events import Retried, ShardDone, ShardFailed, SlowShard, StageBegins, StageEnds
from flows.watching import artifacts as module
from flows.watching.artifacts import artifacts


class Server:
    """A server that refuses some of the requests."""

    def __init__(self, refused: set[int]) -> None:
        self.kept: dict[str, Any] = {}
        self.progress: dict[str, float] = {}
        self._keys: dict[object, str] = {}
        self._refused, self._requests = refused, 0

    def create_artifact(self, artifact: Any) -> Any:
        self._request()
        self.kept[artifact.key] = artifact
        made = SimpleNamespace(id=uuid4())
        self._keys[made.id] = artifact.key
        if artifact.type == "progress":
            self.progress[artifact.key] = artifact.data
        return made

    def update_artifact(self, artifact_id: object, update: Any) -> None:
        self._request()
        self.progress[self._keys[artifact_id]] = update.data

    def _request(self) -> None:
        self._requests += 1
        if self._requests in self._refused:
            raise httpx.ReadTimeout("too slow for https://me:secret@host/api")

    @contextmanager
    def client(self, **_: object) -> Iterator[Server]:
        yield self


def run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_client", server.client)
    with artifacts(uuid4()) as shown:
        for stage in ("count", "score"):
            shown(StageBegins(stage, 2, 2_000_000))
            shown(ShardDone(stage, 1_000_000, 10, 1, False, 0.5))
            shown(ShardFailed(stage, "a.jsonl", "truncated"))
            shown(Retried(3))
            shown(StageEnds(stage, 1.5, 1, 0, 1_000_000, 3, (SlowShard(0.5, "b.jsonl", 1_000_000),)))
        shown.ends("# done", "s3://lake/report.html")


@pytest.mark.parametrize("refused", [{1}, {2}, {1, 2}])
def test_a_request_that_fails_does_not_end_the_artifacts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: set[int]
) -> None:
    server = Server(refused)
    run(server, monkeypatch)
    assert {"dsir-summary", "dsir-page"} <= set(server.kept)
    assert "could not be written: ReadTimeout" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("refused", range(1, 9))
def test_the_last_progress_of_a_stage_is_shown_although_a_request_fails(
    monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    server = Server({refused})
    run(server, monkeypatch)
    assert server.progress == {"dsir-count": 100.0, "dsir-score": 100.0}


def test_a_stage_has_a_table_of_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(set())
    run(server, monkeypatch)
    table = server.kept["dsir-score-table"]
    assert table.type == "table"
    rows = [(row["what"], row["value"]) for row in json.loads(table.data)]
    assert rows == [
        ("shards", "1"),
        ("failed", "1"),
        ("documents", "10"),
        ("bad records", "1"),
        ("bytes read", "1,000,000"),
        ("requests made again", "3"),
        ("time", "1.5 s"),
        ("failed shard", "a.jsonl: truncated"),
        ("slow shard", "b.jsonl: 0.5 s, 1.0 MB"),
    ]
