"""Every future completes with its result or its error, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from distributed import CancelledError, Client

from tasks.completion import Completed, CompletionQueue
from tests.tasks.functions import Item, fail_on_odd, hold, square, until


def release(found: Sequence[Completed | None]) -> None:
    """Not left to the end of references: an error's traceback holds its future."""
    for one in found:
        assert one is not None
        one.future.release()


def test_results_and_errors_come_as_they_are_there(threads: Client) -> None:
    completed = CompletionQueue(threads)
    for future in threads.map(square, [1, 2]):
        completed.add(future)
    completed.add(threads.submit(fail_on_odd, 3))
    found = [completed.next(60) for _ in range(3)]
    assert sorted(one.result for one in found if one and one.error is None) == [1, 4]
    assert [str(one.error) for one in found if one and one.error] == ["file-3: truncated at byte 7"]
    release(found)


def test_nothing_completes_in_time_and_a_dropped_future_is_an_error(threads: Client, tmp_path: Path) -> None:
    completed = CompletionQueue(threads)
    future = threads.submit(hold, Item(0, tmp_path))
    completed.add(future)
    assert completed.next(0.01) is None
    future.cancel()
    (tmp_path / "gate").touch()
    dropped = completed.next(60)
    assert dropped is not None
    assert isinstance(dropped.error, CancelledError)


def raise_at_the_second_run(item: Item) -> int:
    if item.log() > 0:
        raise ValueError("not again")
    return item.index


def test_a_result_that_is_lost_on_its_way_and_cannot_be_made_again_is_an_error(
    processes: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = processes.scheduler.gather  # type: ignore[union-attr]
    killed = threading.Event()
    pids: Sequence[int] = [*processes.run(os.getpid).values()]

    async def after_a_death(*arguments: Any, **options: Any) -> Any:
        if not killed.is_set():
            killed.set()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        return await gather(*arguments, **options)

    monkeypatch.setattr(processes.scheduler, "gather", after_a_death, raising=False)
    completed = CompletionQueue(processes)
    future = processes.submit(raise_at_the_second_run, Item(0, tmp_path))
    completed.add(future)
    # Dask may try for `distributed.comm.timeouts.connect`, 60 s, to reach a worker that is gone.
    found = completed.next(180)
    assert killed.is_set()
    assert found is not None
    assert str(found.error) == "not again"
    release([found])
    until(lambda: len(processes.nthreads()) == 2)
