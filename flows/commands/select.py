"""`dsir select`."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from dsir_core.config.request import SelectConfig
from flows.cluster_options import add_cluster_option, cluster_of
from flows.options import add_options, config_of
from flows.parser import Parser
from flows.watching.terminal import Watch, add_watch_options, say_json, watch_of


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir select --raw 'corpus/**/*.jsonl.zst' --target wiki=wiki.jsonl --count 10k --output selected",
        "dsir select run.yaml --seed 1 --output selected-1",
    )
    add_run_options(parser)


def add_run_options(parser: Parser, *, hidden: Collection[str] = ()) -> None:
    """Add what all commands take that run stages.

    Args:
        hidden: see `add_options`.
    """
    add_options(parser, hidden=hidden)
    add_cluster_option(parser)
    add_watch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    return run_request(arguments, config_of(arguments))


def run_request(arguments: argparse.Namespace, config: SelectConfig, *, only_resamples: bool = False) -> int:
    """Run a request of this command, or of one that ends like it; the exit status.

    Args:
        only_resamples: see `Run.only_resamples`.
    """
    cluster = cluster_of(arguments)

    from flows.running import run_select
    from flows.summary import print_summary, summary

    watch = begin(arguments, config)
    figures = run_select(config, cluster, watch=watch, only_resamples=only_resamples)
    if watch.log_format == "json":
        say_json("run_ends", **summary(config, figures))
    else:
        print_summary(config, figures)
    return 0


def begin(arguments: argparse.Namespace, config: SelectConfig) -> Watch:
    """How the run is to be watched; says that it begins where that is said as JSON."""
    watch = watch_of(arguments)
    if watch.log_format == "json":
        shown = config.redacted()
        say_json("run_begins", command=arguments.command, output=shown.output, workdir=shown.workdir_url)
    return watch
