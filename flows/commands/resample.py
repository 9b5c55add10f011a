"""`dsir resample`: select, on weights that are there already."""

from __future__ import annotations

import argparse

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.manifest import complete_checkpoints
from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError
from dsir_core.finished import workdir_of
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import absolute
from flows.commands.select import add_run_options, run_request
from flows.finished_settings import accept_output, settings_of_output
from flows.options import config_of
from flows.parser import Parser


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir resample selected --count 20k --output larger",
        "dsir resample run.yaml --seed 1 --output selected-1 --workdir selected.work",
    )
    add_run_options(parser)
    accept_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    base = settings_of_output(arguments)
    config = config_of(arguments, base=base)
    with storage_settings(config.storage):
        config = config.model_copy(update={"workdir": workdir_of(config.workdir_url)})
        store = Store(config.workdir_url)
        if not complete_checkpoints(store, WEIGHTS):
            raise RequestError(
                f"{absolute(store.redacted)} holds no weights to resample: run dsir score (or dsir select, which "
                f"scores and selects) with the same request first, or name its --workdir"
            )
    return run_request(arguments, config, only_resamples=True)
