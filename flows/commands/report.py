"""`dsir report WORKDIR|OUTPUT`."""

from __future__ import annotations

import argparse

from dsir_core.errors import RequestError
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import without_credentials
from flows.options import add_storage_options, storage_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument(
        "place", metavar="WORKDIR|OUTPUT", help="the output of a finished run, or a workdir: then of all its outputs"
    )
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.checkpoints.store import Store
    from dsir_core.report.html import render
    from dsir_core.stages.output_dir import REPORT_PAGE, complete_report

    with storage_settings(storage_of(arguments)):
        for output in _outputs(arguments.place):
            figures = complete_report(output)
            if figures is None:
                raise RequestError(f"{without_credentials(output)}: no report.json there, so no finished selection")
            Store(output).write(REPORT_PAGE, render(figures).encode())
            print(f"{without_credentials(output).rstrip('/')}/{REPORT_PAGE}")
    return 0


def _outputs(place: str) -> list[str]:
    """The output itself, or where the finished runs of a workdir have put theirs.

    Raises:
        RequestError: it is a workdir without a finished run.
    """
    from dsir_core.checkpoints.manifest import recorded_runs
    from dsir_core.checkpoints.store import Store
    from dsir_core.report.comparison import PAGE
    from dsir_core.stages.output_dir import REPORT

    store = Store(place)
    if store.exists(REPORT):
        return [place]
    runs = recorded_runs(store)
    ended = [run.output for run in runs if run.ended and run.output and not run.output.endswith(f"/{PAGE}")]
    if runs and not ended:
        raise RequestError(
            f"{store.redacted}: a workdir, but none of its runs has finished; dsir status shows what is missing"
        )
    return ended or [place]
