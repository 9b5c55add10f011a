"""`dsir score`."""

from __future__ import annotations

import argparse

from dsir_core.config.request import parse_config
from flows.cluster_options import cluster_of
from flows.commands.select import add_arguments, begin
from flows.options import request_values
from flows.watching.terminal import say_json

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments), sized=False, output=False)
    cluster = cluster_of(arguments)

    from flows.running import run_score

    watch = begin(arguments, config)
    name, documents = run_score(config, cluster, watch=watch)
    listed = f"{config.redacted().workdir_url}/{name}"
    if watch.log_format == "json":
        say_json("run_ends", documents={"raw": documents}, weights_listed_in=listed)
    else:
        print(f"{documents:,} documents scored; their weights files are listed in {listed}")
    return 0
