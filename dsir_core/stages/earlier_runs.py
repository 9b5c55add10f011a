"""Which files of a corpus earlier runs have written: `--raw .` means none of them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path

from dsir_core.checkpoints.manifest import FOLDER as RUNS
from dsir_core.checkpoints.manifest import is_of_a_run
from dsir_core.corpus.types import SourceFile
from dsir_core.report.comparison import FIGURES, PAGE
from dsir_core.shards import selection_list as selected
from dsir_core.stages.output_dir import LIKE_OURS, REPORT, REPORT_PAGE
from dsir_core.urls import absolute


def written_by_runs(files: Sequence[SourceFile], specs: Sequence[str]) -> set[str]:
    """Paths of the files that lie in a workdir or an output.

    Args:
        specs: what the user has named: a workdir's or an output's own files are kept where one of these names it.
    """
    if any(spec.startswith("@") for spec in specs):
        return set()  # a list names each of its files
    named = [_directory(spec) for spec in specs]
    urls = {file.url for file in files}
    outputs: dict[str, bool] = {}
    found = set()
    for file in files:
        folder, name = posixpath.split(file.url)
        if is_in_workdir(file.url):
            place = _workdir(file.url)
        elif (signs := _signs(name)) is not None:
            place = folder
            if folder not in outputs:
                outputs[folder] = all(_stands(f"{folder}/{each}", urls) for each in signs)
            if not outputs[folder]:
                continue
        else:
            continue
        is_named = any(f"{each}/".startswith(f"{place}/") for each in named)
        if not is_named or name in (REPORT, selected.NAME):
            found.add(file.path)
    return found


def is_in_workdir(path: str) -> bool:
    """Whether a file's name and folder are those of a file that runs write to a workdir."""
    return is_of_a_run(path.removeprefix(_workdir(path)).lstrip("/"))


def is_page(path: str) -> bool:
    """Whether a file's name is that of a page that runs write."""
    return posixpath.basename(path) in (REPORT_PAGE, PAGE)


def _signs(name: str) -> tuple[str, str] | None:
    """By which files of a folder a file of it is known to be of an output; None where its name is of none."""
    if name == FIGURES:
        return FIGURES, PAGE
    return (REPORT, selected.NAME) if name.startswith(LIKE_OURS) else None


def _workdir(path: str) -> str:
    """Where the workdir would be that holds a file."""
    folder = posixpath.dirname(path)
    is_record = posixpath.basename(posixpath.dirname(folder)) == RUNS
    return posixpath.dirname(posixpath.dirname(folder) if is_record else folder)


def _directory(spec: str) -> str:
    """A spec up to its first part with a glob character; a local one as an absolute path."""
    parts = spec.split("/")
    plain = next((i for i, part in enumerate(parts) if has_magic(part)), len(parts))
    return absolute("/".join(parts[:plain]) or ".").rstrip("/")


def _stands(url: str, listed: set[str]) -> bool:
    """Whether a file is among those that are listed, or on this machine."""
    return url in listed or ("://" not in url and Path(url).is_file())
