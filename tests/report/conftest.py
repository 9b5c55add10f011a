"""Reports of real runs over the demo corpus, and the page made of figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.report.html import render
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO, demo_records

Figures = dict[str, Any]


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's raw corpus in four plain JSONL files, the first with two bad records; `shelf` is one of three."""
    folder = tmp_path_factory.mktemp("pool")
    records = demo_records()
    for i in range(4):
        lines = [json.dumps({**record, "shelf": f"shelf {n % 3}"}) for n, record in enumerate(records[i::4])]
        if not i:
            lines[5:5] = ["not json", '{"text": null}']
        (folder / f"pool-{i}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


Select = Callable[..., Figures]


@pytest.fixture(scope="session")
def run_select(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Select:
    """Runs over the pool, in one workdir."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, **settings: Any) -> Figures:
        values = {
            "raw": [str(pool)],
            "target": {"speeches": str(DEMO / "targets" / "speeches.jsonl")},
            "output": str(folder / name),
            "workdir": str(folder / "workdir"),
            "overwrite": True,
            **settings,
        }
        return select(Run(parse_config(values), InlineExecutor()))

    return run


@pytest.fixture(scope="session")
def figures(run_select: Select, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The report of a plain run, as it is read again from report.json."""
    workdir = str(tmp_path_factory.mktemp("fresh"))
    report: Figures = json.loads(json.dumps(run_select("fresh", count=100, workdir=workdir)))
    return report


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Figures], Path]:
    """Writes the page of figures."""

    def write(figures: Figures) -> Path:
        path = tmp_path / "report.html"
        path.write_text(render(figures), encoding="utf-8")
        return path

    return write
