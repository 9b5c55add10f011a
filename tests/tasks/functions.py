"""Functions that the tests of tasks/ run on workers, and what they wait for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.runtime.executor import FAN_IN


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.01)


def task_names(client: Client) -> list[str]:
    """Keys of the tasks that the scheduler knows of."""
    return client.run_on_scheduler(_task_names)


def _task_names(dask_scheduler: object) -> list[str]:
    return list(dask_scheduler.tasks)  # type: ignore[attr-defined]


def square(x: int) -> int:
    return x * x


def add(parts: Sequence[float]) -> float:
    assert 2 <= len(parts) <= FAN_IN
    return sum(parts)


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise DamagedFileError(f"file-{x}", "truncated at byte 7")
    return x


def refuse_five(x: int) -> int:
    if x == 5:
        raise RequestError("no field named body")
    return x


@dataclass(frozen=True)
class Item:
    """Something to do, that leaves a trace in a folder."""

    index: int
    folder: Path

    def log(self, word: str = "x") -> int:
        """Add a word to the item's file, and say how many characters were there before."""
        with open(self.folder / str(self.index), "a") as log:
            before = log.tell()
            log.write(word)
        return before


def index_of(item: Item) -> int:
    return item.index


def hold(item: Item) -> int:
    """Begin, and end when the folder has a file `gate`; both are logged."""
    item.log("(")
    until((item.folder / "gate").exists)
    item.log(")")
    return item.index


def kill_worker(item: Item) -> int:
    """End the worker with SIGKILL, each time."""
    item.log()
    os.kill(os.getpid(), signal.SIGKILL)
    return item.index


def kill_worker_once(item: Item) -> int:
    """End the worker at the first run of item 3."""
    if item.log() == 0 and item.index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item.index


def kill_worker_on_7_and_8(item: Item) -> int:
    """End the worker at each run of two items, once the others that it holds may have begun."""
    return kill_worker(item) if item.index in (7, 8) else index_of(item)
