"""`dsir compare`: what each method would select, side by side."""

from __future__ import annotations

import argparse
from typing import Any

from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from flows.cluster_options import cluster_of
from flows.commands.select import add_arguments as add_select_arguments
from flows.commands.select import begin
from flows.options import read_yaml, request_values
from flows.watching.terminal import say_json

TARGET_LABEL = "target_label"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    add_select_arguments(parser)
    parser.add_argument(
        "--target-label",
        dest=TARGET_LABEL,
        nargs="+",
        action="extend",
        metavar="VALUE",
        help="values of the field of --strata that are what the targets ask for: their share is the precision",
    )


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    values = request_values(arguments)
    labels = _labels(arguments)
    values.pop(TARGET_LABEL, None)
    values.pop("method", None)  # all of them are tried
    config = parse_config(values)
    cluster = cluster_of(arguments)

    from flows.running import run_compare
    from flows.summary import page_of, print_comparison

    watch = begin(arguments, config)
    figures = run_compare(config, labels, cluster, watch=watch)
    if watch.log_format == "json":
        say_json("run_ends", methods=figures["methods"], page=page_of(config))
    else:
        print_comparison(config, figures)
    return 0


def _labels(arguments: argparse.Namespace) -> tuple[str, ...]:
    """From the flag, or the YAML file.

    Raises:
        RequestError: they are no strings.
    """
    given: Any = arguments.target_label
    if given is None and arguments.config:
        given = read_yaml(arguments.config).get(TARGET_LABEL)
    if given is None:
        return ()
    labels = [given] if isinstance(given, str) else given
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RequestError(f"{TARGET_LABEL}: must be a value, or a list of values, of the field of strata")
    return tuple(labels)
