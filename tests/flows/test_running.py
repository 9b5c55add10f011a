"""What the terminal shows of a run, and that a finished result outlives Prefect's server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import Flow, flow
from prefect.runtime import flow_run

from dsir_core import pipeline
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.runtime.events import ignore
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.plan import make_plan
from flows import running
from flows.running import _call, run_select
from flows.select import Prepared, compare_flow, score_flow, select_flow
from flows.watching.terminal import Watch
from tasks.cluster_settings import HERE, Cluster, parse_cluster

CONFIG = parse_config({"raw": ["a"], "target": ["b"], "output": "o", "count": 1})


@flow
def lost(config: object) -> None:
    raise AssertionError("it is never reached")


@pytest.fixture(autouse=True)
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(Flow, "__call__", refuse)


def test_a_result_that_is_there_outlives_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    prepared = Prepared(InlineExecutor(), ignore, CONFIG)
    with pytest.raises(RunFailedError, match="run the same command again"):
        _call(lost, CONFIG, prepared)
    prepared.results.append({"documents": 5})
    assert _call(lost, CONFIG, prepared) == {"documents": 5}
    assert "has not recorded" in capsys.readouterr().err


def test_compiling_is_said_and_is_over_before_the_first_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(running, "kernels_are_kept", lambda: False)
    monkeypatch.setattr(running, "warm_up", lambda: done.append("compiled"))
    monkeypatch.setattr(pipeline, "select", lambda _: done.append("selected"))
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    corpora = {"raw": (str(tmp_path / "a.jsonl"),), "target": {"t": (str(tmp_path / "a.jsonl"),)}}
    run_select(CONFIG.model_copy(update={"inline": True, "output": str(tmp_path / "o"), **corpora}), watch=Watch())
    assert done == ["compiled", "selected"]
    assert capsys.readouterr().err.endswith("Z compiling kernels (once a machine)\n")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SelectConfig:
    """A request for one small file, where no Prefect server is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in ("PREFECT_API_URL", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    Path("a.jsonl").write_text('{"text": "a"}\n' * 1000)
    return parse_config({"raw": "a.jsonl", "target": "a.jsonl", "output": "o", "count": 1})


def is_inline(config: SelectConfig, cluster: Cluster = HERE, **watch: Any) -> bool:
    return running._is_inline(config, cluster, Watch(**watch), make_plan(config))


def test_one_shard_is_worked_on_in_this_process_and_that_is_said(
    corpus: SelectConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_inline(corpus)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "note: raw is one shard: running in this process, without Prefect and Dask (--no-inline to use them)"
    )
    assert is_inline(corpus, log_format="json")
    assert json.loads(capsys.readouterr().out)["event"] == "note"


def test_dask_and_prefect_are_used_where_they_are_of_use_or_asked_for(
    corpus: SelectConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_inline(corpus.model_copy(update={"inline": False}))
    assert not is_inline(corpus.model_copy(update={"workers": 1}))
    assert not is_inline(corpus.model_copy(update={"shard_bytes": 2048}))
    assert not is_inline(corpus, parse_cluster({"local": {}}))
    assert not is_inline(corpus, dask_report="f")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert not is_inline(corpus)
    assert is_inline(corpus.model_copy(update={"inline": True}))
    assert capsys.readouterr().err == ""


def test_memory_urls_need_this_process(corpus: SelectConfig) -> None:
    in_memory = corpus.model_copy(update={"output": "memory://o"})
    assert is_inline(in_memory)
    with pytest.raises(RequestError, match="--inline"):
        is_inline(in_memory.model_copy(update={"workers": 2}))


@pytest.mark.parametrize("as_model", [False, True])
def test_a_run_is_named_after_what_it_does_where_and_when_without_credentials(
    monkeypatch: pytest.MonkeyPatch, as_model: bool
) -> None:
    secret = "sftp://me:SECRET@host"
    values = {"raw": ["a"], "target": {"t": ["b"]}, "count": 1}
    for flow_, place, name in (
        (select_flow, {"output": f"{secret}/o"}, "select to sftp://host/o"),
        (compare_flow, {"output": f"{secret}/o"}, "compare in sftp://host/o"),
        (score_flow, {"output": f"{secret}/o/"}, "score in sftp://host/o.work"),
        (score_flow, {"output": "", "workdir": f"{secret}/w"}, "score in sftp://host/w"),
    ):
        config = parse_config(values | place, output=False) if as_model else values | place
        monkeypatch.setattr(flow_run, "parameters", {"config": config}, raising=False)
        monkeypatch.setattr(
            flow_run, "scheduled_start_time", datetime(2026, 11, 28, 2, 30, 5, tzinfo=UTC), raising=False
        )
        assert callable(flow_.flow_run_name)
        assert flow_.flow_run_name() == f"{name} at 2026-11-28 02:30:05"
