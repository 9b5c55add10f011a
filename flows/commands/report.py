"""`dsir report WORKDIR|OUTPUT`."""

from __future__ import annotations

import argparse

from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of
from flows.parser import Parser


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} WORKDIR|OUTPUT [options]"
    parser.add_argument(
        "place", metavar="WORKDIR|OUTPUT", help="the output of a finished run, or a workdir: then of all its outputs"
    )
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.finished import write_pages

    with storage_settings(storage_of(arguments)):
        for page in write_pages(arguments.place):
            print(page)
    return 0
