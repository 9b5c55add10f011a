"""What a map over Dask promises its callers."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Future

from dsir_core.errors import DamagedFileError, RequestError, RunFailedError
from dsir_core.runtime.executor import InlineExecutor, LazySequence
from tasks import batching
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tasks.reduction import IN_FLIGHT_PER_THREAD
from tests.tasks.functions import (
    Item,
    fail_on_odd,
    hold,
    kill_worker_once,
    refuse_five,
    square,
    task_names,
    until,
)


class UnpicklableError(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def fail_unpicklably(x: int) -> int:
    raise UnpicklableError(x, x)


def test_every_item_has_one_outcome_with_its_result(threads: Client) -> None:
    items = list(range(300))
    outcomes = list(DaskExecutor(threads).map(square, items, name="score"))
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i * i, None) for i in items]


def test_no_items_give_no_outcome(threads: Client) -> None:
    assert list(DaskExecutor(threads).map(square, [], name="score")) == []


def test_number_of_workers_counts_threads(threads: Client) -> None:
    assert DaskExecutor(threads).n_workers == 2


def test_errors_keep_type_and_message_and_spare_the_others(threads: Client) -> None:
    def seen(executor: DaskExecutor | InlineExecutor) -> list[tuple[int, int | None, str, str]]:
        outcomes = executor.map(fail_on_odd, range(10), name="count")
        return sorted((o.index, o.result, type(o.error).__name__, str(o.error)) for o in outcomes)

    assert seen(DaskExecutor(threads)) == seen(InlineExecutor())


def test_errors_from_another_process_keep_type_and_message(processes: Client) -> None:
    outcome = next(iter(DaskExecutor(processes).map(fail_on_odd, [1], name="count")))
    assert isinstance(outcome.error, DamagedFileError)
    assert (outcome.error.url, outcome.error.reason) == ("file-1", "truncated at byte 7")


def test_an_error_that_cannot_travel_still_fails_only_its_item(processes: Client) -> None:
    outcome = next(iter(DaskExecutor(processes).map(fail_unpicklably, [4], name="count")))
    assert "4 and 4" in str(outcome.error)


def test_a_wrong_request_ends_the_map(threads: Client) -> None:
    with pytest.raises(RequestError, match="no field named body"):
        list(DaskExecutor(threads).map(refuse_five, range(100), name="count"))


def test_few_items_are_in_flight(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_SECONDS", 0)
    submitted: list[str] = []
    submit = threads.submit

    def counting(*args: Any, key: str, **options: Any) -> Future[Any]:
        submitted.append(key)
        return submit(*args, key=key, **options)

    monkeypatch.setattr(threads, "submit", counting)
    outcomes = DaskExecutor(threads).map(square, range(200), name="count")
    most = max(len(submitted) - received for received, _ in enumerate(outcomes, start=1))
    assert len(submitted) == 200
    assert most == IN_FLIGHT_PER_THREAD * 2


@dataclass(frozen=True)
class Marked:
    index: int


def index_of_marked(item: Marked) -> int:
    return item.index


def test_the_scheduler_does_not_remember_what_was_done(threads: Client) -> None:
    n = 1500
    assert len(list(DaskExecutor(threads).map(index_of_marked, LazySequence(n, Marked), name="count"))) == n
    gc.collect()
    assert sum(type(thing) is Marked for thing in gc.get_objects()) < n / 3


def test_dask_holds_nothing_afterwards(threads: Client) -> None:
    list(DaskExecutor(threads).map(square, range(50), name="count"))
    until(lambda: not task_names(threads))


def test_closing_the_iterator_drops_what_has_not_begun(threads: Client, tmp_path: Path) -> None:
    outcomes = DaskExecutor(threads).map(hold, [Item(i, tmp_path) for i in range(50)], name="count")
    consumer = threading.Thread(target=next, args=(outcomes,))
    consumer.start()
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    (tmp_path / "gate").touch()
    consumer.join()
    outcomes.close()  # type: ignore[attr-defined]
    until(lambda: not task_names(threads))
    assert len(list(tmp_path.iterdir())) < 12


def test_the_same_items_run_again_in_a_second_map(threads: Client, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    executor = DaskExecutor(threads)
    for _ in range(2):
        assert len(list(executor.map(hold, [Item(i, tmp_path) for i in range(3)], name="count"))) == 3
    assert [(tmp_path / str(i)).read_text() for i in range(3)] == ["()()"] * 3


def test_task_names_begin_with_the_stage(threads: Client, tmp_path: Path) -> None:
    outcomes = DaskExecutor(threads).map(hold, [Item(0, tmp_path)], name="resample")
    consumer = threading.Thread(target=next, args=(outcomes,))
    consumer.start()
    until((tmp_path / "0").exists)
    names = task_names(threads)
    (tmp_path / "gate").touch()
    consumer.join()
    assert [name.startswith("resample-0-") for name in names] == [True]


def test_a_worker_killed_once_costs_nothing_but_a_second_run(processes: Client, tmp_path: Path) -> None:
    items = [Item(i, tmp_path) for i in range(20)]
    outcomes = list(DaskExecutor(processes).map(kill_worker_once, items, name="score"))
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(20)]


def hold_second_run(item: Item) -> int:
    if item.log() > 0:
        until((item.folder / "gate").exists)
    return item.index


def kill_all(client: Client) -> None:
    for pid in client.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)


def test_workers_that_die_while_their_results_wait_for_the_consumer_fail_nothing(
    processes: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures: list[Future[Any]] = []
    submit = processes.submit
    monkeypatch.setattr(processes, "submit", lambda *a, **o: futures.append(submit(*a, **o)) or futures[-1])
    outcomes = DaskExecutor(processes).map(hold_second_run, [Item(i, tmp_path) for i in range(5)], name="count")
    found = [next(outcomes).index]
    waiting = [future for future in futures if not str(future.key).startswith(f"count-{found[0]}-")]
    assert len(waiting) == 4
    processes.gather(waiting)
    kill_all(processes)
    until(lambda: all(future.status == "lost" for future in waiting))
    (tmp_path / "gate").touch()
    for outcome in outcomes:
        assert outcome.error is None
        found.append(outcome.index)
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_a_lost_scheduler_ends_the_map() -> None:
    with local_cluster(1, processes=False) as client:
        outcomes = DaskExecutor(client).map(time.sleep, [0.0] + [5.0] * 10, name="score")
        next(outcomes)
        client.restart(wait_for_workers=False)
        with pytest.raises(RunFailedError, match="stage score"):
            list(outcomes)
