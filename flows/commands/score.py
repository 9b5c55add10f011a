"""`dsir score`."""

from __future__ import annotations

import argparse

from dsir_core.config import parse_config
from flows.cluster_options import cluster_of
from flows.commands.select import add_arguments
from flows.options import request_values

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments), sized=False, output=False)
    cluster = cluster_of(arguments)

    from flows.running import run_score

    name, documents = run_score(config, cluster, verbose=arguments.verbose)
    print(f"{documents:,} documents scored; their weights files are listed in {config.workdir_url}/{name}")
    return 0
