"""What is shown of a run: where it stands, a live view on a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dsir_core.runtime.events import (
    Note,
    PassAdvances,
    PassBegins,
    Retried,
    ShardDone,
    ShardFailed,
    StageBegins,
    StageEnds,
)
from flows.cli import _fail
from flows.watching.limiting import AT_ONCE, Limit
from flows.watching.lines import JSON_SECONDS, WORDS_SECONDS, JsonLines, PlainLines
from flows.watching.live import live_view, words_of
from flows.watching.run_log import log_to_run
from flows.watching.standing import Pace, RunStanding, Standing
from flows.watching.summary_page import escaped
from tests.integration.conftest import DEMO

COMMAND = [sys.executable, "-c", "import sys; from flows.cli import command; command()"]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def request(tmp_path: Path, *more: str) -> list[str]:
    corpora = ["--raw", f"{DEMO}/raw", "--target", f"speeches={DEMO}/targets/speeches.jsonl"]
    return ["select", *corpora, "--count", "70", "--inline", "--output", str(tmp_path / "out"), *more]


def test_a_standing_adds_up_what_events_tell() -> None:
    clock = Clock()
    standing = RunStanding(clock)
    standing.add(StageBegins("count", 4, 400))
    clock.now = 2.0
    standing.add(ShardDone("count", 100, 10, 1, False, 0.5))
    standing.add(ShardDone("count", 100, 20, 0, True, 0.1))
    standing.add(Retried(3))
    stage = standing.add(ShardFailed("count", "a.jsonl", "truncated"))
    assert stage is not None
    assert (stage.shards, stage.documents, stage.bad, stage.reused, stage.failed, stage.retries) == (2, 30, 1, 1, 1, 3)
    assert (stage.share, stage.seconds_left, stage.bytes_per_second) == (0.5, 2.0, 50.0)
    assert words_of(stage) == (
        "2 of 4 shards, 30 documents, 0 MB/s, 2.0 s left, 1 reused, 1 bad, 1 failed, 3 requests again"
    )
    standing.add(StageEnds("count", 3.5, 4, 1, 300, 3))
    assert (stage.share, stage.is_done, stage.seconds) == (1.0, True, 3.5)
    assert standing.retries == 3


@pytest.mark.parametrize(("seconds", "left"), [(2.0, None), (10.0, 990.0)])
def test_the_time_left_is_not_guessed_from_a_small_target(seconds: float, left: float | None) -> None:
    clock = Clock()
    standing = RunStanding(clock)
    standing.add(StageBegins("count", 2, 10_000))
    clock.now = seconds
    stage = standing.add(ShardDone("count", 100, 10, 0, False, 0.5))
    assert stage is not None
    assert stage.seconds_left == left


def test_a_line_fits_a_terminal_and_what_went_wrong_stays_in_it() -> None:
    stage = Standing("count", 0.0, of_shards=400_000, shards=123_456, of_bytes=10**15, n_bytes=10**14, reused=12_345)
    stage.read_bytes, stage.documents, stage.bad, stage.failed, stage.seconds = 10**14, 10**10, 1_234, 2, 9000.0
    text = io.StringIO()
    with live_view(Console(file=text, width=80, force_terminal=True)) as view:
        view(StageBegins("count", 400_000, 10**15))
        view(ShardDone("count", 10**14, 10**10, 1_234, False, 0.5))
        view(ShardFailed("count", "a.jsonl", "truncated"))
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", text.getvalue())]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("count ") and "1,234 bad, 1 failed" in line]
    assert "documents" not in words_of(stage, 50)
    assert words_of(stage, 50).endswith("1,234 bad, 2 failed")
    assert len(words_of(stage, 50)) <= 50


def test_a_stage_that_is_entered_again_begins_anew() -> None:
    standing = RunStanding(Clock())
    standing.add(StageBegins("score", 2, 0))
    standing.add(ShardDone("score", 0, 10, 0, False, 1))
    stage = standing.add(StageBegins("score", 2, 0))
    assert stage is not None
    assert (stage.shards, stage.share) == (0, 0.0)


def test_passes_of_the_threshold_search_are_shown_while_they_last() -> None:
    standing = RunStanding(Clock())
    standing.add(StageBegins("resample", 2, 0))
    standing.add(PassBegins("resample", 2))
    stage = standing.add(PassAdvances("resample"))
    assert stage is not None
    assert words_of(stage) == "0 of 2 shards, pass 1 over the weights: 1 of 2"
    standing.add(PassBegins("resample", 2))
    assert words_of(stage) == "0 of 2 shards, pass 2 over the weights: 0 of 2"
    standing.add(ShardDone("resample", 0, 5, 0, False, 0.1))
    assert "pass" not in words_of(stage)


@given(st.lists(st.floats(0, 100), max_size=50), st.floats(0.1, 20))
def test_a_pace_is_never_faster_than_it_says(steps: list[float], seconds: float) -> None:
    clock = Clock()
    pace = Pace(seconds, clock)
    due = []
    for step in [0.0, *steps]:
        clock.now += step
        if pace.is_due():
            due.append(clock.now)
    assert due[0] == 0.0
    assert all(b - a >= seconds * (1 - 1e-9) for a, b in itertools.pairwise(due))


def test_lines_in_words_are_dated_and_few(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    observe = PlainLines(clock)
    observe(StageBegins("score", 1000, 0))
    for _ in range(1000):
        clock.now += WORDS_SECONDS / 100
        observe(ShardDone("score", 0, 1, 0, False, 0.1))
    observe(ShardFailed("score", "a.jsonl", "truncated"))
    observe(Note("look"))
    observe(StageEnds("score", 100.0, 1000, 0, 0))
    observe(StageEnds("fit", 0.1, 0, 0, 0))
    lines = capsys.readouterr().err.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S", line) for line in lines)
    said = [line.partition(" ")[2] for line in lines]
    assert said[-3:] == [
        "score: a.jsonl failed: truncated",
        "note: look",
        "score: done, 1,000 of 1,000 shards, 1,000 documents, 1 min 40 s, 1 failed",
    ]
    assert 9 <= len(said[:-3]) <= 10


def test_json_lines_are_few_and_whole() -> None:
    clock = Clock()
    lines: list[str] = []
    observe = JsonLines(lines.append, clock)
    observe(StageBegins("score", 1000, 5000))
    for _ in range(1000):
        clock.now += JSON_SECONDS / 100
        observe(ShardDone("score", 5, 1, 0, False, 0.1))
    observe(Note('a "quoted"\nline'))
    observe(StageEnds("score", 10.0, 1000, 0, 5000))
    told = [json.loads(line) for line in lines]
    assert [each["event"] for each in told if each["event"] != "progress"] == ["stage_begins", "note", "stage_ends"]
    assert 9 <= sum(each["event"] == "progress" for each in told) <= 10
    assert told[-1]["documents"] == told[-1]["shards"] == 1000
    assert not any("\n" in line for line in lines)


def test_the_command_as_json_says_nothing_else_and_what_the_report_says(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, *request(tmp_path, "--log-format", "json")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["run_begins", "run_ends"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told[-1]["documents"] == report["documents"]
    assert told[-1]["tokens"] == report["tokens"]
    ends = {each["stage"]: each for each in told if each["event"] == "stage_ends"}
    assert list(ends) == list(report["stages"])
    assert ends["score"]["documents"] == report["documents"]["readable"]
    assert {each["event"] for each in told} <= {
        "run_begins", "stage_begins", "progress", "note", "stage_ends", "run_ends",
    }  # fmt: skip


def test_a_failure_as_json_has_the_status_and_the_words(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text("{]\n" * 10)
    words = ["select", "--raw", str(tmp_path / "raw.jsonl"), "--target", f"{DEMO}/targets/speeches.jsonl"]
    more = ["--count", "7", "--inline", "--output", str(tmp_path / "out"), "--log-format", "json"]
    done = subprocess.run([*COMMAND, *words, *more], capture_output=True, text=True)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["status"], done.returncode) == ("run_fails", 1, 1)
    assert "raw.jsonl at 0: invalid JSON" in last["error"]
    assert done.stderr == f"dsir select: {last['error']}\n"


def test_what_may_be_cured_says_what_to_type_without_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = argparse.Namespace(command="select")
    words = ["select", "my config.yaml", "--output", "s3://key:secret@bucket/out"]
    assert _fail(parsed, 1, "failed: storage: run the same command again to go on", words) == 1
    assert capsys.readouterr().err.splitlines()[1] == (
        "to go on: dsir select 'my config.yaml' --output s3://bucket/out"
    )
    _fail(parsed, 1, "failed: no document is eligible", words)
    assert len(capsys.readouterr().err.splitlines()) == 1


def run_in_terminal(words: list[str], columns: int) -> str:
    """What a command draws on a terminal of so many columns."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=follower, env={**os.environ, "COLUMNS": str(columns)}
    )
    os.close(follower)
    drawn = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:
            break
        if not data:
            break
        drawn += data
    os.close(leader)
    assert process.wait(timeout=120) == 0
    return drawn.decode()


def test_a_terminal_shows_a_line_a_stage(tmp_path: Path) -> None:
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run_in_terminal(request(tmp_path), 120))
    last = drawn.rpartition("count")[2]
    assert re.search(r"100% 2 of 2 shards, 2,790 documents", last.replace("\r", ""))
    for stage in ("score", "resample", "write"):
        assert re.search(rf"{stage} .*100% 1 of 1 shard\b", last)
    assert "T" not in re.findall(r"\d{4}-\d\d-\d\d(T?)", drawn)


def test_text_from_outside_is_no_markdown() -> None:
    text = "[x](http://evil) <img src=x> **b** | `c` # h ![i](j)"
    shown: Any = escaped(text)
    for sign in "[]()<>*|`#!":
        assert not re.search(rf"(?<!\\){re.escape(sign)}", shown)


def test_warnings_that_come_too_fast_are_counted_and_left_out() -> None:
    clock = Clock()
    limit = Limit(at_once=3, per_second=0.5, clock=clock)
    record = logging.makeLogRecord({"msg": "slow disk"})
    assert [limit.filter(record) for _ in range(5)] == [True, True, True, False, False]
    clock.now = 2.0
    assert [limit.filter(record) for _ in range(2)] == [True, False]
    assert limit.dropped == 3
    clock.now = 1000.0
    assert sum(limit.filter(record) for _ in range(10)) == 3


def test_what_was_left_out_of_a_runs_log_is_said(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("dsir_core")
    handler = logging.StreamHandler(stream := io.StringIO())
    logger.addHandler(handler)
    try:
        with log_to_run("0"):
            for _ in range(AT_ONCE + 7):
                logger.warning("slow disk")
    finally:
        logger.removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert lines.count("slow disk") == AT_ONCE
    assert lines[-1] == "7 more messages came faster than a log can be read, and were left out"


def test_every_key_is_documented(tmp_path: Path) -> None:
    documented = {
        (match[1], key)
        for line in (DEMO.parent / "docs" / "watching.md").read_text().splitlines()
        if (match := re.match(r"\| `(\w+)` \|", line))
        for key in re.findall(r"`(\w+)`", line.rpartition("|")[0].rpartition("|")[2])
    }
    done = subprocess.run([*COMMAND, *request(tmp_path, "--log-format", "json")], capture_output=True, text=True)
    for told in map(json.loads, done.stdout.splitlines()):
        for key in set(told) - {"time", "event"}:
            assert (told["event"], key) in documented or told["event"] == "progress"
