"""`dsir score`."""

from __future__ import annotations

import argparse

from dsir_core.config.described import Mark, marked
from dsir_core.config.request import SelectConfig
from dsir_core.report.formatting import counted
from flows.cluster_options import cluster_of
from flows.commands.select import add_run_options, begin
from flows.options import config_of
from flows.parser import Parser
from flows.watching.terminal import say_json


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir score --raw 'corpus/**/*.jsonl.zst' --target wiki=wiki.jsonl --workdir selected.work",
        "dsir score run.yaml --cluster address=tcp://scheduler:8786",
    )
    add_run_options(parser, hidden=("output", "overwrite", *marked(SelectConfig, Mark.CHOOSES, Mark.WRITES)))


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = config_of(arguments, sized=False, output=False)
    cluster = cluster_of(arguments)

    from flows.running import run_score

    watch = begin(arguments, config)
    name, documents = run_score(config, cluster, watch=watch)
    listed = f"{config.redacted().workdir_url}/{name}"
    if watch.log_format == "json":
        say_json("run_ends", documents={"raw": documents}, weights_listed_in=listed)
    else:
        print(f"{counted(documents, 'document')} scored; their weights files are listed in {listed}")
    return 0
