"""The settings of a finished selection, which a command takes in place of a CONFIG.yaml."""

from __future__ import annotations

import argparse
import os

from dsir_core.errors import RequestError
from dsir_core.finished import workdir_of
from dsir_core.report.settings import not_default
from dsir_core.stages.output_dir import complete_report
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import without_credentials
from flows.config_file import SUFFIXES, ConfigFile
from flows.options import storage_of
from flows.parser import Parser

OF_THE_RUN = ("output", "overwrite", "workers", "inline")
"""Settings that another run does not take over."""


def accept_output(parser: Parser) -> None:
    """Say in the help of a command that it takes an OUTPUT as well."""
    parser.usage = f"{parser.prog} [CONFIG.yaml|OUTPUT] [options]"
    parser.description = f"{parser.description}\n\nAn OUTPUT of an earlier run stands for its settings and its workdir."


def settings_of_output(arguments: argparse.Namespace) -> ConfigFile | None:
    """The settings of a finished selection, where one is named in place of a file; the file is then none.

    Raises:
        RequestError: what is named is neither a file of settings nor a finished selection.
    """
    output = arguments.config
    if output is None or output.lower().endswith(SUFFIXES) or (os.path.exists(output) and not os.path.isdir(output)):
        return None
    arguments.config = None
    with storage_settings(storage_of(arguments)):
        if (report := complete_report(output)) is None:
            raise RequestError(f"{without_credentials(output)}: neither a CONFIG.yaml nor the output of a finished run")
        workdir = workdir_of(output)
    values = {name: value for name, value in not_default(report["config"]).items() if name not in OF_THE_RUN}
    return ConfigFile(output, values | {"workdir": workdir}, {})
