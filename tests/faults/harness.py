"""Whole runs with corpus, workdir and output on an S3 server, through a proxy that makes faults in chosen stages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import s3fs

from dsir_core.config.request import parse_config
from dsir_core.errors import DsirError
from dsir_core.pipeline import select
from dsir_core.runtime.events import Event, StageEnds
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.run import Run
from tests.faults.proxy import Mode, Proxy, Rule, fault_proxy
from tests.s3 import REGION, S3Server

DEMO = Path(__file__).parents[2] / "demo"
STAGES = ("plan", "count", "recover", "fit", "score", "resample", "write", "report")
BUCKET = "data"
SETTINGS = {"count": 70, "shard_bytes": 400_000, "s3_region": REGION}


@dataclass(frozen=True)
class Lake:
    """The demo corpus on a server."""

    server: S3Server

    def filesystem(self) -> s3fs.S3FileSystem:
        """Not through a proxy."""
        return s3fs.S3FileSystem(**self.server.storage_options(), use_listings_cache=False)

    def settings(self, name: str, endpoint: str, **more: Any) -> dict[str, Any]:
        """A request whose results go to a folder of the bucket."""
        places = {"output": f"s3://{BUCKET}/{name}/out", "workdir": f"s3://{BUCKET}/{name}/work"}
        corpora = {"raw": f"s3://{BUCKET}/raw", "target": {"speeches": f"s3://{BUCKET}/speeches.jsonl"}}
        return {**SETTINGS, **corpora, **places, "s3_endpoint": endpoint, **more}

    def output(self, name: str) -> dict[str, bytes]:
        """The files of an output but the reports, which hold times."""
        filesystem = self.filesystem()
        found = filesystem.find(f"{BUCKET}/{name}/out")
        return {path.rpartition("/")[2]: filesystem.cat_file(path) for path in found if "/report." not in path}

    def names(self, name: str) -> list[str]:
        """All names below a folder of the bucket."""
        return list(self.filesystem().find(f"{BUCKET}/{name}"))


@contextmanager
def credentials(server: S3Server) -> Iterator[dict[str, str]]:
    """The server's credentials, in the environment as users have them."""
    mine = {"AWS_ACCESS_KEY_ID": server.key, "AWS_SECRET_ACCESS_KEY": server.secret, "AWS_DEFAULT_REGION": REGION}
    before = {name: os.environ.get(name) for name in (*mine, "AWS_ENDPOINT_URL", "AWS_PROFILE")}
    os.environ.update(mine)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        os.environ.pop(name, None)
    try:
        yield mine
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def fill(server: S3Server) -> Lake:
    """Put the demo corpus on a server."""
    lake = Lake(server)
    filesystem = lake.filesystem()
    filesystem.mkdir(BUCKET)
    filesystem.put(str(DEMO / "raw"), f"{BUCKET}/raw", recursive=True)
    filesystem.put_file(str(DEMO / "targets" / "speeches.jsonl"), f"{BUCKET}/speeches.jsonl")
    return lake


@dataclass
class Outcome:
    """What became of a run under faults."""

    report: dict[str, Any] | None
    error: DsirError | None
    injected: int
    retries: int
    seconds: float


def run_with_faults(
    lake: Lake,
    name: str,
    rules: Sequence[Rule],
    *,
    stages: Sequence[str] = STAGES,
    seed: int = 0,
    executor: Executor | None = None,
) -> Outcome:
    """Run with faults in some stages only."""
    with fault_proxy(lake.server.endpoint, [], seed) as proxy:
        _switch(proxy, rules, "plan" in stages)
        run = Run(parse_config(lake.settings(name, proxy.endpoint)), executor or InlineExecutor())

        def observe(event: Event) -> None:
            if isinstance(event, StageEnds) and event.stage != STAGES[-1]:
                _switch(proxy, rules, STAGES[STAGES.index(event.stage) + 1] in stages)

        run.observe = observe
        begin = time.perf_counter()
        report, error = None, None
        try:
            report = select(run)
        except DsirError as raised:
            error = raised
        assert not proxy.failures, proxy.failures
        return Outcome(report, error, proxy.counts.total(), run.retries, time.perf_counter() - begin)


def _switch(proxy: Proxy, rules: Sequence[Rule], on: bool) -> None:
    proxy.set_rules(rules if on else [])


def rule(mode: Mode, probability: float) -> Rule:
    """A fault of any request; stalls are long enough to be seen and short enough for a test."""
    return Rule(mode, probability, seconds=0.3)
