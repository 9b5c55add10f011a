"""Forecasts of requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsir_core.config.request import parse_config
from dsir_core.forecasting.forecast import Forecast, forecast
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tests.integration.conftest import pool as pool  # the fixture
from tests.integration.conftest import run_select as run_select

Plan = Callable[..., Forecast]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """`dsir plan` as a function: settings in, forecast out."""

    def run(**settings: object) -> Forecast:
        values = {"output": str(tmp_path / "output"), "workdir": str(tmp_path / "workdir"), **settings}
        work = Run(parse_config(values, sized=False, output=False, workdir=False), InlineExecutor())
        with work.with_storage():
            return forecast(work)

    return run
