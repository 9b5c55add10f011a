"""`dsir report OUTPUT`."""

from __future__ import annotations

import argparse

from dsir_core.errors import RequestError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument("output", metavar="OUTPUT", help="the output of a finished run")


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.report.html import render
    from dsir_core.stages.output import complete_report
    from dsir_core.store import Store

    figures = complete_report(arguments.output)
    if figures is None:
        raise RequestError(f"{arguments.output}: no report.json there, so no finished selection")
    Store(arguments.output).write("report.html", render(figures).encode())
    print(f"{arguments.output.rstrip('/')}/report.html")
    return 0
