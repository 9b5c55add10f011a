"""`dsir select`."""

from __future__ import annotations

import argparse

from dsir_core.config.request import SelectConfig, parse_config
from flows.cluster_options import add_cluster_option, cluster_of
from flows.options import add_options, request_values
from flows.watching.terminal import Watch, add_watch_options, say_json, watch_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    add_options(parser)
    add_cluster_option(parser)
    add_watch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments))
    cluster = cluster_of(arguments)

    from flows.running import run_select
    from flows.summary import print_summary, summary

    watch = begin(arguments, config)
    figures = run_select(config, cluster, watch=watch)
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
