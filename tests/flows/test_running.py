"""What the terminal shows of a run, and that a finished result outlives Prefect's server."""

from __future__ import annotations

import httpx
import pytest
from prefect import Flow, flow

from dsir_core.config import parse_config
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.executor import InlineExecutor
from dsir_core.progress import ignore
from flows.running import _call, run_select
from flows.select import Prepared
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


def test_memory_urls_need_inline() -> None:
    with pytest.raises(RequestError, match="--inline"):
        run_select(CONFIG.model_copy(update={"output": "memory://o"}), watch=Watch())
