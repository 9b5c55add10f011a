"""What can be known to be wrong with a request before anything slow begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from dsir_core.config.corpora import called
from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.types import SourceFile
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.stages.count import check_counted
from dsir_core.stages.plan import Plan, make_plan
from dsir_core.stages.run import Run
from dsir_core.storage.connect import connect
from dsir_core.urls import is_local

LOOKED_AT = 8
"""Files of a kind that are looked into where the first ones lack a field."""


def preflight(run: Run, check_place: Callable[[Run], None]) -> Plan:
    """List the corpora, and look at the beginning of some files and at the place that is written to.

    Args:
        check_place: refuses a place that the run must not write to.

    Raises:
        RequestError: a path, a text field or the output is wrong, or counts that are not to be made are missing.
        DamagedFileError: a file is not what its name says.
        RunFailedError: storage failed.
    """
    places = {"output": run.config.output, "workdir": run.config.workdir_url}
    with run.with_storage():
        for what, url in places.items():
            if url:
                _check_folder(what, url)
        check_place(run)
        planned = make_plan(run.config)
        refused: RequestError | None = None
        for name, corpus in planned.targets.items():
            try:
                _look(called(name), corpus.corpus.files, run.config.read.unconditional, run.config.max_bad_shards)
            except RequestError as error:
                refused = refused or error
        _look("raw", planned.raw.corpus.files, run.config.read, run.config.max_bad_shards)
        if refused is not None:
            raise RequestError(f"{refused} (raw and targets are read by the same text_field)") from None
        if run.only_resamples:
            check_counted(run, planned)
    return planned


def check_shared(config: SelectConfig) -> None:
    """Refuse places that the processes of workers could not reach.

    Raises:
        RequestError: the output or the workdir lies in the memory of this process.
    """
    if any(url.startswith("memory://") for url in (config.output, config.workdir_url)):
        raise RequestError("memory:// is of one process, and workers are others: add --inline, or choose another place")


def _check_folder(what: str, url: str) -> None:
    """Refuse a local place that no folder can be made at, or nothing be written to."""
    filesystem, path = connect(url)
    if not is_local(filesystem):
        return
    existing = next(each for each in (Path(path), *Path(path).parents) if each.exists())
    if not existing.is_dir():
        raise RequestError(f"{what}: {existing} is a file, not a folder: choose another --{what}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RequestError(f"{what}: {existing} cannot be written to: choose another --{what}")


def _look(what: str, files: Sequence[SourceFile], settings: ReadSettings, max_bad_shards: int) -> None:
    """Look into one file of each kind; where it has no text, others may have."""
    kinds = dict.fromkeys((file.format, file.compression) for file in files)
    for kind in kinds:
        mine = [file for file in files if (file.format, file.compression) == kind]
        refused = None
        for file in mine[:: max(1, len(mine) // LOOKED_AT)][:LOOKED_AT]:
            try:
                format_of(file).check_fields(file, settings)
                break
            except RequestError as error:
                refused = refused or error
            except DamagedFileError:
                if not max_bad_shards:
                    raise
        else:
            if refused is not None:
                raise RequestError(f"{what}: {refused}") from None
