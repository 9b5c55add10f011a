"""`dsir resample`: select, on weights that are there already."""

from __future__ import annotations

import argparse

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.manifest import complete_checkpoints
from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError
from dsir_core.finished import workdir_of
from dsir_core.report.settings import not_default
from dsir_core.stages.output_dir import complete_report
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import absolute, without_credentials
from flows.commands.select import add_run_options, run_request
from flows.config_file import SUFFIXES, ConfigFile
from flows.options import config_of, storage_of
from flows.parser import Parser

OF_THE_RUN = ("output", "overwrite", "workers", "inline")
"""Settings that another run does not take over."""


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir resample selected --count 20k --output larger",
        "dsir resample run.yaml --seed 1 --output selected-1 --workdir selected.work",
    )
    add_run_options(parser)
    parser.usage = f"{parser.prog} [CONFIG.yaml|OUTPUT] [options]"
    parser.description = f"{parser.description}\n\nAn OUTPUT of an earlier run stands for its settings and its workdir."


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    base = _settings_of_output(arguments)
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


def _settings_of_output(arguments: argparse.Namespace) -> ConfigFile | None:
    """The settings of a finished selection that is named in place of a file.

    Raises:
        RequestError: there is none.
    """
    output = arguments.config
    if output is None or output.lower().endswith(SUFFIXES):
        return None
    arguments.config = None
    with storage_settings(storage_of(arguments)):
        if (report := complete_report(output)) is None:
            raise RequestError(f"{without_credentials(output)}: neither a CONFIG.yaml nor the output of a finished run")
        workdir = workdir_of(output)
    values = {name: value for name, value in not_default(report["config"]).items() if name not in OF_THE_RUN}
    return ConfigFile(output, values | {"workdir": workdir}, {})
