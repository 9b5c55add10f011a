"""What the terminal shows of a run, and that a finished result outlives Prefect's server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prefect import Flow, flow
from prefect.runtime import flow_run

from dsir_core import pipeline
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.runtime.events import ignore
from dsir_core.runtime.executor import InlineExecutor
from flows import running
from flows.running import _call, run_select
from flows.select import Prepared, compare_flow, score_flow, select_flow
from flows.watching.terminal import Watch

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


def test_memory_urls_need_inline() -> None:
    with pytest.raises(RequestError, match="--inline"):
        run_select(CONFIG.model_copy(update={"output": "memory://o"}), watch=Watch())


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
