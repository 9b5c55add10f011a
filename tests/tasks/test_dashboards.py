"""Dask's own pages: a run's figures for Prometheus, and the performance report."""

from __future__ import annotations

import importlib.util
import re
import urllib.request
from pathlib import Path

import pytest
from distributed import Client

from dsir_core.errors import RequestError
from dsir_core.runtime.events import Retried, ShardDone, StageBegins, StageEnds
from flows.watching.metrics import Metrics
from tasks import dashboards
from tasks.dashboards import SchedulerMetrics, dask_report
from tasks.executor import DaskExecutor
from tasks.metrics_page import MAX_RUNS


def page(threads: Client) -> str:
    port = threads.scheduler_info()["services"]["dashboard"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def test_the_metrics_page_tells_a_runs_figures(threads: Client) -> None:
    observe = Metrics(SchedulerMetrics(threads, "run-1"))
    observe(StageBegins("score", 2, 300))
    observe(ShardDone("score", 100, 10, 1, False, 0.5))
    observe(ShardDone("score", 200, 20, 0, True, 0.5))
    observe(Retried(3))
    observe(StageEnds("score", 1.5, 2, 1, 100, 3))
    shown = dict(re.findall(r'^dsir_(\w+)\{run="run-1",stage="score"\} (\S+)$', page(threads), re.MULTILINE))
    assert {name: float(value) for name, value in shown.items()} == {
        "documents": 30.0, "bytes": 100.0, "bad": 1.0, "shards": 2.0, "failed": 0.0, "retries": 3.0, "seconds": 1.5,
    }  # fmt: skip


def test_a_scheduler_remembers_so_many_runs(threads: Client) -> None:
    for i in range(2 * MAX_RUNS):
        SchedulerMetrics(threads, f"many-{i}").publish({"count": {"documents": i}})
    found = re.findall(r'^dsir_documents\{run="many-(\d+)"', page(threads), re.MULTILINE)
    assert [int(run) for run in found] == list(range(MAX_RUNS, 2 * MAX_RUNS))


def test_a_scheduler_that_cannot_is_asked_once(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise ModuleNotFoundError("prometheus_client")

    monkeypatch.setattr(threads, "run_on_scheduler", refuse)
    metrics = SchedulerMetrics(threads, "run-2")
    metrics.publish({})
    metrics.publish({})
    assert len(asked) == 1


def test_the_performance_report_names_tasks_by_stage(threads: Client, tmp_path: Path) -> None:
    path = tmp_path / "dask.html"
    with dask_report(threads, str(path)):
        list(DaskExecutor(threads).map(abs, [1, -2], name="score"))
    assert "score" in path.read_text()


def test_without_bokeh_the_way_out_is_named(threads: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(dashboards, "find_spec", lambda name: None if name == "bokeh" else found(name))
    with (
        pytest.raises(RequestError, match=r"dsir-pipeline\[dashboard\]"),
        dask_report(threads, str(tmp_path / "x.html")),
    ):
        pass
