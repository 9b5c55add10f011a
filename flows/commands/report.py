"""`dsir report OUTPUT`."""

from __future__ import annotations

import argparse

from dsir_core.corpus.urls import without_credentials
from dsir_core.errors import RequestError
from dsir_core.remote.connect import using
from flows.options import add_storage_options, storage_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument("output", metavar="OUTPUT", help="the output of a finished run")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.report.html import render
    from dsir_core.stages.output import complete_report
    from dsir_core.store import Store

    with using(storage_of(arguments)):
        figures = complete_report(arguments.output)
        if figures is None:
            raise RequestError(
                f"{without_credentials(arguments.output)}: no report.json there, so no finished selection"
            )
        Store(arguments.output).write("report.html", render(figures).encode())
    print(f"{arguments.output.rstrip('/')}/report.html")
    return 0
