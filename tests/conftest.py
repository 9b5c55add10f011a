"""Settings for all tests: in which order they run, how many examples Hypothesis draws, and what a run has left out."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings

from tests.programs import browser

KINDS = {
    "browser": "in a browser",
    "server": "against an S3 or Prefect server of their own",
    "long": "that take many seconds",
}
"""Marks of the tests that `make test` leaves out, and how its last lines call them; an item counts as the first."""

LEFT_OUT: pytest.StashKey[Counter[str]] = pytest.StashKey()

# No test of ours asserts a time, as the default deadline does. `make test-deep` draws other examples on each run.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("deep", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what runs in the background, and the processes that tests interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[LEFT_OUT] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: _kind(item) is None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """End here, once, if there is no browser for tests that need one; pytest-xdist's workers cannot end a run."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and any(item.get_closest_marker("browser") for item in session.items):
        try:
            browser()
        except RuntimeError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT][_kind(item) or "other"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take from pytest-xdist's workers, each of which has collected all tests, what they have left out."""
    if hasattr(node, "workeroutput"):  # not of one that has crashed
        node.config.stash[LEFT_OUT] = Counter(node.workeroutput["left_out"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and which command runs it."""
    left_out = config.stash[LEFT_OUT]
    told = [f"{left_out[kind]} {words}" for kind, words in KINDS.items() if left_out[kind]]
    if told:
        terminalreporter.write_sep("=", "left out")
        for line in told:
            terminalreporter.write_line(line)
        terminalreporter.write_line("make test-all runs them, too")


def _kind(item: pytest.Item) -> str | None:
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), None)
