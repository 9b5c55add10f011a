"""`dsir resample`: select, on weights that are there already."""

from __future__ import annotations

import argparse

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError
from dsir_core.storage.connect import storage_settings
from flows.commands import select
from flows.commands.select import add_run_options
from flows.options import config_of
from flows.parser import Parser


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir resample run.yaml --seed 1 --output selected-1 --workdir selected.work",
        "dsir resample run.yaml --tokens 2B --output larger --workdir selected.work",
    )
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = config_of(arguments)
    with storage_settings(config.storage):
        store = Store(config.workdir_url)
        if not any(entry.name.endswith(WEIGHTS.complete_suffix) for entry in store.entries(WEIGHTS.folder)):
            raise RequestError(
                f"{store.redacted} holds no weights to resample: run dsir score (or dsir select, which scores and "
                f"selects) with the same request first, or name its --workdir"
            )
    return select.run(arguments)
