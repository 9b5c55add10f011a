"""Corpus, workdir and output on an S3 server that misbehaves: the same bytes, or a named failure that resumes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import parse_config
from dsir_core.config.storage import StorageSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange
from dsir_core.digests import stream_digest
from dsir_core.errors import DamagedFileError, DsirError
from dsir_core.forecasting.forecast import forecast
from dsir_core.pipeline import select
from dsir_core.runtime.events import StageBegins
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from dsir_core.storage.connect import storage_settings
from dsir_core.storage.retries import ATTEMPTS, collect_effects
from tests.faults.harness import BUCKET, SETTINGS, Lake, rule, run_with_faults
from tests.faults.processes import words
from tests.faults.proxy import Mode, Rule, fault_proxy
from tests.integration.conftest import without_notes
from tests.s3 import REGION

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def undisturbed(lake: Lake) -> dict[str, bytes]:
    report = select(Run(parse_config(lake.settings("undisturbed", lake.server.endpoint)), InlineExecutor()))
    assert report["storage"] == {"retries": 0}
    return lake.output("undisturbed")


def test_a_run_on_s3_selects_what_a_local_one_does(lake: Lake, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    local = {"output": str(tmp_path / "out"), "workdir": str(tmp_path / "work")}
    filesystem = lake.filesystem()
    filesystem.get(f"{BUCKET}/raw", str(tmp_path / "raw"), recursive=True)
    filesystem.get_file(f"{BUCKET}/speeches.jsonl", str(tmp_path / "speeches.jsonl"))
    corpora = {"raw": str(tmp_path / "raw"), "target": {"speeches": str(tmp_path / "speeches.jsonl")}}
    select(Run(parse_config({**SETTINGS, **corpora, **local}), InlineExecutor()))
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if "report" not in path.name}
    assert found == undisturbed


@pytest.mark.parametrize("mode", get_args(Mode))
def test_no_fault_of_one_request_in_ten_changes_anything(lake: Lake, undisturbed: dict[str, bytes], mode: Mode) -> None:
    done = run_with_faults(lake, f"all-{mode}", [rule(mode, 0.1)], seed=1)
    assert done.error is None
    assert done.injected > 5
    assert lake.output(f"all-{mode}") == undisturbed
    assert done.report is not None
    if mode not in ("stall", "lost_ack"):  # the client library itself repeats a PUT on a connection that was reset
        assert done.retries >= done.injected / 3
        assert done.report["storage"]["retries"] > 0


def test_a_permanent_fault_is_named_and_the_run_goes_on_from_there(lake: Lake, undisturbed: dict[str, bytes]) -> None:
    done = run_with_faults(lake, "permanent", [rule("slow_down", 1.0)], stages=["score"])
    assert done.error is not None
    assert "reduce your request rate" in str(done.error)
    assert "run the same command again" in str(done.error)
    again = run_with_faults(lake, "permanent", [])
    assert again.report is not None
    assert again.report["stages"]["count"]["reused"] == again.report["stages"]["count"]["shards"]
    assert lake.output("permanent") == undisturbed


def test_a_plan_on_s3_leaves_nothing_and_shows_no_secret(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = lake.settings("planned", lake.server.endpoint)
    good = Run(parse_config(settings), InlineExecutor())
    with good.with_storage():
        found = forecast(good)
    assert found.can_run, found.checks
    assert not [name for name in lake.names("planned") if ".dsir" in name]
    assert lake.server.secret not in json.dumps(found.to_json())
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    done = subprocess.run(words("plan", str(config)), capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "not-the-secret" not in done.stdout + done.stderr
    assert "signature" in done.stderr or "Forbidden" in done.stderr or "Access" in done.stderr


def test_a_server_that_is_restarted_in_the_middle(lake: Lake, undisturbed: dict[str, bytes]) -> None:
    run = Run(parse_config(lake.settings("restart", lake.server.endpoint)), InlineExecutor())

    def restart(event: object) -> None:
        if isinstance(event, StageBegins) and event.stage == "score":
            lake.server.stop(kill=True)
            threading.Thread(target=lambda: (time.sleep(1), lake.server.start())).start()

    run.observe = restart
    report = select(run)
    assert run.retries > 0
    assert report["storage"]["retries"] > 0
    assert lake.output("restart") == undisturbed


def test_the_command_with_dask_workers_under_faults(lake: Lake, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    with fault_proxy(lake.server.endpoint, [rule("slow_down", 0.05), rule("truncate", 0.05)], seed=2) as proxy:
        settings = lake.settings("dask", proxy.endpoint)
        config = tmp_path / "config.json"  # JSON is YAML
        config.write_text(json.dumps(settings))
        done = subprocess.run(words("select", str(config), "--workers", "2"), capture_output=True, text=True)
        assert (done.returncode, without_notes(done.stderr)) == (0, [])
        assert proxy.counts.total() > 5
    assert lake.output("dask") == undisturbed
    report = json.loads(lake.filesystem().cat_file(f"{BUCKET}/dask/out/report.json"))
    assert report["storage"]["retries"] > 0


def test_no_secret_is_in_anything_that_a_run_leaves(lake: Lake, undisturbed: dict[str, bytes]) -> None:
    filesystem = lake.filesystem()
    for name in lake.names("undisturbed"):
        content = filesystem.cat_file(name)
        assert lake.server.secret.encode() not in content
        assert b"AWS_" not in content


def test_a_wrong_secret_is_not_tried_again_and_not_shown(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(lake.settings("denied", lake.server.endpoint)))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    done = subprocess.run(words("select", str(config), "--inline"), capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "not-the-secret" not in done.stderr
    assert "signature" in done.stderr or "Forbidden" in done.stderr or "Access" in done.stderr


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_what_will_not_pass_is_not_tried_again(
    lake: Lake, error: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(lake.server.endpoint) as proxy:
        if error is PermissionError:
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with (
            storage_settings(StorageSettings(s3_endpoint=proxy.endpoint, s3_region=REGION)),
            collect_effects() as effects,
        ):
            store = Store(f"s3://{BUCKET}/none")
            before = proxy.requests
            with pytest.raises(error):
                store.read("x")
        assert effects.retries == 0
        assert proxy.requests == before + 1


def test_attempts_are_those_of_one_layer(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    with (
        fault_proxy(lake.server.endpoint, [Rule("slow_down")]) as proxy,
        storage_settings(StorageSettings(s3_endpoint=proxy.endpoint, s3_region=REGION)),
    ):
        store = Store(f"s3://{BUCKET}/none")
        with pytest.raises(OSError, match=r"Service Unavailable|request rate"):
            store.read("x")
        assert proxy.requests == ATTEMPTS


def test_a_listing_is_pages_and_not_a_request_an_object(lake: Lake) -> None:
    filesystem = lake.filesystem()
    for i in range(1200):
        filesystem.pipe_file(f"{BUCKET}/many/{i:05}.jsonl", b"{}")
    with (
        fault_proxy(lake.server.endpoint) as proxy,
        storage_settings(StorageSettings(s3_endpoint=proxy.endpoint, s3_region=REGION)),
    ):
        for spec in (f"s3://{BUCKET}/many", f"s3://{BUCKET}/many/*.jsonl"):
            before = proxy.requests
            assert len(list_corpus([spec]).files) == 1200
            assert proxy.requests - before <= 4


def test_an_object_that_changes_is_noticed(lake: Lake) -> None:
    filesystem = lake.filesystem()
    url = f"s3://{BUCKET}/changing/a.jsonl"
    filesystem.pipe_file(url, b'{"text": "a"}\n')
    with storage_settings(StorageSettings(s3_endpoint=lake.server.endpoint, s3_region=REGION)):
        (file,) = list_corpus([url]).files
        filesystem.pipe_file(url, b'{"text": "b"}\n')
        with pytest.raises(DamagedFileError, match="changed since it was planned"):
            list(read_range(FileRange(file), ReadSettings()))


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(lake: Lake) -> None:
    filesystem = lake.filesystem()
    url = f"s3://{BUCKET}/changing/b.jsonl"
    filesystem.pipe_file(url, b'{"text": "a"}\n' * 3_000_000)
    with storage_settings(StorageSettings(s3_endpoint=lake.server.endpoint, s3_region=REGION)):
        (file,) = list_corpus([url]).files
        batches = read_range(FileRange(file), ReadSettings())
        next(batches)
        filesystem.pipe_file(url, b'{"text": "b"}\n' * 3_000_000)
        with pytest.raises(DamagedFileError, match="changed since it was planned"):
            for _ in batches:
                pass


def test_a_large_file_goes_up_in_parts(lake: Lake) -> None:
    block = np.random.default_rng(0).bytes(2**20)
    with (
        fault_proxy(lake.server.endpoint, [Rule("slow_down", 0.2, count=3)], seed=1) as proxy,
        storage_settings(StorageSettings(s3_endpoint=proxy.endpoint, s3_region=REGION)),
    ):
        store = Store(f"s3://{BUCKET}/large")
        with store.writer("part") as stream:
            for _ in range(110):
                stream.write(block)
        assert proxy.requests >= 5  # begin, three parts, complete
        with store.open("part") as found:
            assert stream_digest(found) == hashlib.sha256(block * 110).hexdigest()


def test_a_replaced_output_on_s3(lake: Lake, undisturbed: dict[str, bytes]) -> None:
    first: dict[str, Any] = {**lake.settings("replaced", lake.server.endpoint), "count": 20}
    select(Run(parse_config(first), InlineExecutor()))
    with pytest.raises(DsirError, match="--overwrite"):
        select(Run(parse_config({**first, "count": 70}), InlineExecutor()))
    select(Run(parse_config({**first, "count": 70, "overwrite": True}), InlineExecutor()))
    assert lake.output("replaced") == undisturbed
    assert not [name for name in lake.names("replaced/out") if "/." in name]
