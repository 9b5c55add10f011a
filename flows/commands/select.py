"""`dsir select`."""

from __future__ import annotations

import argparse

from dsir_core.config import parse_config
from flows.options import add_options, request_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    add_options(parser)
    parser.add_argument("--verbose", action="store_true", help="show the libraries' own logs")


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments))

    from flows.running import run_select
    from flows.summary import print_summary

    figures = run_select(config, verbose=arguments.verbose)
    print_summary(config, figures)
    return 0
