"""What a command says while a run goes on and at its end: drawn, as lines, or as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from dsir_core.errors import RequestError
from dsir_core.runtime.events import Event, Observer
from flows.parser import Parser

LogFormat = Literal["auto", "plain", "json"]


@dataclass(frozen=True)
class Watch:
    """How a run is to be watched."""

    log_format: LogFormat = "auto"
    dask_report: str | None = None
    """Where Dask's performance report goes."""
    verbose: bool = False
    """Whether the libraries' own logs are shown."""


def add_watch_options(parser: Parser) -> None:
    """Add `--log-format`, `--dask-report` and `--verbose`."""
    group = parser.add_argument_group("watching")
    group.add_argument(
        "--log-format",
        choices=("auto", "plain", "json"),
        default="auto",
        help=parser.rare(
            "auto: a live view on a terminal, else lines with the time; plain: always lines, on standard error; "
            "json: one JSON object a line on standard output, the summary too [auto]"
        ),
    )
    report = parser.rare("save Dask's performance report as an HTML file")
    group.add_argument("--dask-report", metavar="FILE", help=report)
    group.add_argument("--verbose", action="store_true", help=parser.rare("show the libraries' own logs"))


def watch_of(arguments: argparse.Namespace) -> Watch:
    """What the flags ask for.

    Raises:
        RequestError: a report of Dask is asked for where there is no Dask.
    """
    if arguments.inline and arguments.dask_report:
        raise RequestError("--inline and --dask-report exclude each other: with --inline there is no Dask")
    return Watch(cast(LogFormat, arguments.log_format), arguments.dask_report, arguments.verbose)


@contextmanager
def watching(watch: Watch) -> Iterator[Observer]:
    """An observer for this process's terminal or logs, for the block."""
    if watch.log_format == "json":
        from flows.watching.lines import JsonLines

        yield JsonLines(_write)
    elif watch.log_format == "auto" and sys.stderr.isatty():
        from flows.watching.live import live_view

        with live_view() as view:
            yield view
    else:
        from flows.watching.lines import PlainLines

        yield PlainLines()


@contextmanager
def saying(watch: Watch, text: str, *, to_logs: bool = True) -> Iterator[None]:
    """Say what is being done, for the block: a spinner on a terminal, else one line.

    Args:
        to_logs: whether it is worth a line where nobody watches.
    """
    if watch.log_format == "auto" and sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True, highlight=False).status(f"{text} ..."):
            yield
        return
    if to_logs and watch.log_format != "json":
        from flows.watching.lines import PlainLines

        PlainLines.say(text)
    yield


def note(watch: Watch, text: str) -> None:
    """Say something that the user should know, before anyone observes the run."""
    if watch.log_format == "json":
        say_json("note", text=text)
        return
    from flows.watching.lines import PlainLines

    PlainLines.say(f"note: {text}")


def say_json(event: str, **values: Any) -> None:
    """One JSON line that is not about a stage: the beginning, the end or the failure of a run."""
    from flows.watching.lines import JsonLines

    JsonLines(_write).say(event, **values)


def together(*observers: Observer) -> Observer:
    """An observer that hands each event to several."""

    def observe(event: Event) -> None:
        for each in observers:
            each(event)

    return observe


def _write(line: str) -> None:
    print(line, flush=True)
