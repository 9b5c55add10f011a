"""What the terminal shows of a run, and that a finished result outlives Prefect's server."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from dsir_core.config import parse_config
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.executor import InlineExecutor
from dsir_core.progress import Note, ShardDone, ShardFailed, StageBegins, StageEnds, ignore
from flows.progress import _Bars, _Throughput, terminal_observer
from flows.running import _call, run_select
from flows.select import Prepared

CONFIG = parse_config({"raw": ["a"], "target": ["b"], "output": "o", "count": 1})


def lost(config: object) -> None:
    raise httpx.ConnectError("connection refused")


def test_a_result_that_is_there_outlives_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    prepared = Prepared(InlineExecutor(), ignore, CONFIG)
    with pytest.raises(RunFailedError, match="run the same command again"):
        _call(lost, CONFIG, prepared)
    prepared.results.append({"documents": 5})
    assert _call(lost, CONFIG, prepared) == {"documents": 5}
    assert "has not recorded" in capsys.readouterr().err


def test_memory_urls_need_inline() -> None:
    with pytest.raises(RequestError, match="--inline"):
        run_select(CONFIG.model_copy(update={"output": "memory://o"}), verbose=False)


def test_without_a_terminal_only_warnings_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_observer() as observe:
        observe(StageBegins("score", 2, 100))
        observe(ShardDone("score", 50, 10, 1, False, 0.5))
        observe(ShardFailed("score", "a.jsonl", "truncated"))
        observe(Note("look"))
    assert capsys.readouterr().err == "score: a.jsonl failed: truncated\nnote: look\n"


def test_a_terminal_shows_a_bar_a_stage() -> None:
    out = io.StringIO()
    columns = (
        TextColumn("{task.description} {task.percentage:.0f}% {task.fields[documents]} documents"),
        _Throughput(),
    )
    with Progress(*columns, console=Console(file=out, force_terminal=True, width=200)) as progress:
        observe = _Bars(progress)
        observe(StageBegins("score", 2, 100))
        observe(ShardDone("score", 50, 10, 1, False, 0.5))
        assert progress.tasks[0].percentage == 50
        observe(ShardDone("score", 50, 12, 0, True, 0.0))
        observe(StageEnds("score", 1.0, 2, 1, 50))
    assert progress.tasks[0].finished
    assert progress.tasks[0].fields["read"] == 50
    assert "score 100% 22 documents" in out.getvalue()
    assert "1 bad" in out.getvalue()
