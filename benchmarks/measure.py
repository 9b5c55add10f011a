"""Running a command and saying what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
DSIR = Path(sys.executable).with_name("dsir")
POLL_SECONDS = 0.1
WORKERS = ("spawn_main", "forkserver")
"""In the command lines of processes that Dask has started, or forked from one of them."""


@dataclass(frozen=True)
class Cost:
    """What a command cost."""

    seconds: float
    driver_bytes: int
    """Peak resident memory of the command's own process."""
    worker_bytes: int
    """Peak of the largest Dask worker."""


def run(words: list[str], environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=ROOT)
    driver, worker = 0, 0
    while process.poll() is None:
        driver, worker = _peaks(process.pid, driver, worker)
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - begin
    assert process.stderr is not None
    said = process.stderr.read().decode()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: {said}")
    return Cost(seconds, driver, worker)


def _peaks(pid: int, driver: int, worker: int) -> tuple[int, int]:
    try:
        main = psutil.Process(pid)
        driver = max(driver, main.memory_info().rss)
        for child in main.children(recursive=True):
            if any(name in " ".join(child.cmdline()) for name in WORKERS):
                worker = max(worker, child.memory_info().rss)
    except psutil.Error:
        pass  # a process that has just ended has no memory to look at
    return driver, worker


def select(
    raw: Path, target: Path, output: Path, *flags: str, environment: dict[str, str] | None = None
) -> tuple[Cost, dict[str, Any]]:
    """`dsir select` from nothing: its cost and its report."""
    words = [str(DSIR), "select", "--raw", str(raw), "--target", f"target={target}", "--output", str(output)]
    how = [] if "--inline" in flags else ["--no-inline"]
    cost = run([*words, *flags, *how], environment)
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return cost, report


def best(function: Callable[[], Any], times: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of a few calls."""
    seconds = []
    for _ in range(times):
        begin = clock()
        function()
        seconds.append(clock() - begin)
    return min(seconds)


def processor_seconds(function: Callable[[], Any]) -> float:
    """Processor time of a call: what else a shared machine does is not in it."""
    return best(function, 1, time.process_time)


def on_one_core() -> None:
    """Keep this process, and what it starts, to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
