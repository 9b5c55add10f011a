"""`dsir select`."""

from __future__ import annotations

import argparse

from dsir_core.config import parse_config
from flows.cluster_options import add_cluster_option, cluster_of
from flows.options import add_options, request_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    add_options(parser)
    add_cluster_option(parser)
    parser.add_argument("--verbose", action="store_true", help="show the libraries' own logs")


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments))
    cluster = cluster_of(arguments)

    from flows.running import run_select
    from flows.summary import print_summary

    figures = run_select(config, cluster, verbose=arguments.verbose)
    print_summary(config, figures)
    return 0
