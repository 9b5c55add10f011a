"""Runs of the command as processes of their own, killed at a chosen stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

PROGRAM = "import sys; from flows.cli import command; command()"
PATIENCE_SECONDS = 120.0


def words(*arguments: str) -> list[str]:
    """The command `dsir` with arguments."""
    return [sys.executable, "-c", PROGRAM, *arguments]


def run_until(
    command: Sequence[str], environment: dict[str, str], reached: Callable[[], bool], act: Callable[[int], None]
) -> tuple[int, str]:
    """Run a command and act on it (given its process id) as soon as something is reached.

    Returns:
        Its exit status and what it wrote to standard error.
    """
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        assert process.poll() is None, "it ended before what was waited for"
        act(process.pid)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode, errors.decode()


def stage_begun(workdir: Path, stage: str) -> Callable[[], bool]:
    """Whether a run has come to a stage, by its record in a local workdir."""
    return lambda: any(workdir.glob(f"runs/*/{stage}.txt"))


def kill(pid: int) -> None:
    """SIGKILL, and nothing else: what it started is left to notice."""
    os.kill(pid, signal.SIGKILL)


def kill_child(pid: int, mark: str) -> None:
    """SIGKILL of the first child, or child's child, whose command line holds a mark."""
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if mark in " ".join(child.cmdline()):
                child.kill()
                return
        except psutil.NoSuchProcess:
            continue
    raise AssertionError(f"no child with {mark!r}")


def kill_worker(pid: int) -> None:
    """SIGKILL of a worker of a run's own cluster: a fork of the one process that is there to be forked."""
    for child in psutil.Process(pid).children():
        if "forkserver" in " ".join(child.cmdline()):
            child.children()[0].kill()
            return
    raise AssertionError("no worker")


def wait_for_end_of(mark: str) -> None:
    """Return once no process has a mark in its environment: what was left has noticed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and _some_with(mark):
        time.sleep(0.1)
    assert not _some_with(mark), "a process was left behind"


def _some_with(mark: str) -> bool:
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and mark in process.environ().values():
                return True
        except psutil.Error:
            continue
    return False


def kill_tree(pid: int) -> None:
    """SIGKILL of a process and all that it started."""
    process = psutil.Process(pid)
    for one in (*process.children(recursive=True), process):
        one.kill()
