"""`dsir compare`: what each method would select, side by side."""

from __future__ import annotations

import argparse
from typing import Any

from dsir_core.config.described import Mark, marked
from dsir_core.config.request import SelectConfig
from dsir_core.errors import RequestError
from flows.cluster_options import cluster_of
from flows.commands.select import add_run_options, begin
from flows.config_file import read_config
from flows.finished_settings import accept_output, settings_of_output
from flows.options import config_of
from flows.parser import Parser
from flows.watching.terminal import say_json

TARGET_LABEL = "target_label"


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir compare --raw 'corpus/**/*.jsonl.zst' --target wiki=wiki.jsonl --count 10k --output compared",
        "dsir compare selected --output compared",
        "dsir compare run.yaml --strata kind --target-label wiki --output compared",
    )
    add_run_options(parser, hidden=("method", *marked(SelectConfig, Mark.WRITES)))
    accept_output(parser)
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
    base = settings_of_output(arguments)
    labels = _labels(arguments)
    config = config_of(arguments, base=base, without=(TARGET_LABEL, "method"))  # all methods are tried
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
        given = read_config(arguments.config).values.get(TARGET_LABEL)
    if given is None:
        return ()
    labels = [given] if isinstance(given, str) else given
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RequestError(f"{TARGET_LABEL}: must be a value, or a list of values, of the field of strata")
    return tuple(labels)
