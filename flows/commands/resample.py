"""`dsir resample`: select, on weights that are there already."""

from __future__ import annotations

import argparse

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.storage.connect import storage_settings
from flows.commands import select
from flows.commands.select import add_arguments
from flows.options import request_values

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments))
    with storage_settings(config.storage):
        store = Store(config.workdir_url)
        if not any(entry.name.endswith(WEIGHTS.complete_suffix) for entry in store.entries(WEIGHTS.folder)):
            raise RequestError(
                f"{store.redacted} holds no weights to resample: run dsir score (or dsir select, which scores and "
                f"selects) with the same request first, or name its --workdir"
            )
    return select.run(arguments)
