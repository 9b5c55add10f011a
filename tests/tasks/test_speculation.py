"""Second starts: the rule, whatever runs and whatever is finished; and a worker that hangs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st

from tasks import speculation
from tasks.executor import DaskExecutor
from tasks.speculation import FACTOR, MIN_SECONDS, QUANTILE, Finished, Running, limit_seconds, stragglers
from tests.tasks.functions import Item

SECONDS = st.floats(min_value=0, max_value=1e5)
BYTES = st.integers(min_value=0, max_value=2**40)
FINISHED = st.lists(st.builds(Finished, SECONDS, BYTES), max_size=40)
RUNNING = st.lists(
    st.builds(Running, st.text("abcdefgh", min_size=1, max_size=6), SECONDS, BYTES, st.integers(1, 2)),
    max_size=20,
    unique_by=lambda one: one.key,
)
IDLE = st.integers(-1, 25)


@given(RUNNING, FINISHED, IDLE)
def test_only_what_runs_long_once_and_no_more_than_there_are_idle_workers(
    running: list[Running], finished: list[Finished], idle: int
) -> None:
    chosen = stragglers(running, finished, idle=idle)
    by_key = {one.key: one for one in running}
    assert len(chosen) == len(set(chosen)) <= max(0, idle)
    for one in map(by_key.__getitem__, chosen):
        assert one.starts == 1
        assert one.seconds > MIN_SECONDS
        assert finished
        # Slower than FACTOR times all but a tenth of the others.
        slower = sum(one.seconds > FACTOR * done.seconds for done in finished)
        assert slower >= QUANTILE * len(finished)


@given(RUNNING, FINISHED, IDLE)
def test_the_longest_running_go_first_and_none_that_may_is_left_while_a_worker_is_idle(
    running: list[Running], finished: list[Finished], idle: int
) -> None:
    chosen = stragglers(running, finished, idle=idle)
    everything = stragglers(running, finished, idle=len(running))
    assert chosen == everything[: max(0, idle)]
    seconds = {one.key: one.seconds for one in running}
    assert [seconds[key] for key in everything] == sorted((seconds[key] for key in everything), reverse=True)
    late = {one.key for one in running if one.starts == 1 and one.seconds > limit_seconds(one.n_bytes, finished)}
    assert set(everything) == late


@given(RUNNING, FINISHED, IDLE, st.randoms())
def test_the_order_in_which_things_are_told_is_of_no_account(
    running: list[Running], finished: list[Finished], idle: int, random: object
) -> None:
    expected = stragglers(running, finished, idle=idle)
    random.shuffle(running)  # type: ignore[attr-defined]
    random.shuffle(finished)  # type: ignore[attr-defined]
    assert stragglers(running, finished, idle=idle) == expected


@given(FINISHED, BYTES, BYTES)
def test_a_larger_shard_may_take_longer(finished: list[Finished], a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert limit_seconds(small, finished) <= limit_seconds(large, finished)


def test_a_shard_ten_times_as_large_as_others_is_no_straggler_at_ten_times_their_time() -> None:
    finished = [Finished(10.0, 100)] * 20
    running = [Running("large", 299.0, 1000, 1), Running("usual", 31.0, 100, 1), Running("young", 29.0, 100, 1)]
    assert stragglers(running, finished, idle=5) == ["usual"]


def test_nothing_straggles_while_nothing_is_finished() -> None:
    assert stragglers([Running("a", 1e9, 0, 1)], [], idle=5) == []


def stop_once(item: Item) -> int:
    """Item 3 stops its worker at its first run, as if the machine hung."""
    if item.index == 3 and item.log() == 0:
        (item.folder / "stopped").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    return item.index


def test_what_straggles_is_started_a_second_time_and_counts_once(
    processes: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculation, "MIN_SECONDS", 1.0)
    outcomes = list(DaskExecutor(processes).map(stop_once, [Item(i, tmp_path) for i in range(12)], name="count"))
    os.kill(int((tmp_path / "stopped").read_text()), signal.SIGCONT)
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(12)]
    assert (tmp_path / "3").read_text() == "xx"
