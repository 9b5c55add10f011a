"""Documents of the raw corpus of a finished selection, read again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.errors import DamagedFileError, MissingFieldError, RequestError
from dsir_core.report.formatting import counted
from dsir_core.shards.examples import read_texts
from dsir_core.stages.earlier_runs import written_by_runs
from dsir_core.urls import without_credentials

SILENT_SECONDS, SAY_SECONDS = 2.0, 0.5
"""A search says nothing for so long, and then something so often."""


@dataclass(frozen=True)
class RawDocument:
    """A document, and where it stands."""

    file: str
    """Path below the corpus root."""
    position: int
    text: str


def read_settings_of(report: Mapping[str, Any]) -> ReadSettings:
    """How whole documents were read."""
    config = report["config"]
    read = ReadSettings(**{name: value for name, value in config.items() if name in ReadSettings.model_fields})
    return read.unconditional


def document_at(report: Mapping[str, Any], file: str, position: int) -> RawDocument:
    """The document at a position.

    Args:
        report: the content of report.json.
        file: path below the corpus root, as in selected.parquet.
        position: of its record, as in selected.parquet.

    Raises:
        RequestError: there is no such document, or the file cannot be read.
    """
    file = _below_root(report, file)
    source = _source(report, file)
    try:
        ((text, _),) = read_texts(source, read_settings_of(report), [position])
    except (DamagedFileError, ValueError) as error:
        raise RequestError(
            f"{without_credentials(source.url)}: no document stands at position {position} "
            f"(as selected.parquet gives it), or the file cannot be read: {error}"
        ) from None
    return RawDocument(file, position, text)


def document_where(
    report: Mapping[str, Any], where: str, file: str | None = None, say: Callable[[str], None] = lambda _: None
) -> RawDocument:
    """The first document whose record meets a condition, in order of file and position.

    Reads the corpus as far as that document, one file after another.

    Args:
        report: the content of report.json.
        where: a condition on the record's fields, as in `include`.
        file: path below the corpus root: look in this file only.
        say: is told how far the search is, where it takes longer than a moment.

    Raises:
        RequestError: the condition is not valid, no document meets it, or a file cannot be read.
    """
    plain = read_settings_of(report)
    try:
        read = ReadSettings(**{**plain.model_dump(), "include": where})
    except ValidationError as error:
        raise RequestError(f"--where: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    root = report["corpus"]["raw"]["root"]
    file = None if file is None else _below_root(report, file)
    files = [_source(report, file)] if file is not None else _sources(report)
    progress = _Progress(len(files), say)
    unfit: list[RequestError] = []
    for source in files:
        progress.begin(source)
        try:
            found = _first(source, read, progress)
        except DamagedFileError as error:
            raise RequestError(f"{without_credentials(source.url)} cannot be read: {error}") from None
        except MissingFieldError as error:  # of a table; others may have it
            unfit.append(error)
            continue
        if found is not None:
            return RawDocument(file or source.path, *found)
    left_out = f"; {counted(len(unfit), 'file')} could not be searched: {unfit[0]}" if unfit else ""
    raise RequestError(f"--where: no document of {file or f'the files of raw below {root}'} meets {where}{left_out}")


@dataclass
class _Progress:
    """Says how far a search is, where it takes longer than a moment."""

    files: int
    """To be searched."""
    say: Callable[[str], None]
    begun: int = 0
    path: str = ""
    """Of the file that is searched now."""
    records: int = 0
    due: float = field(default_factory=lambda: time.monotonic() + SILENT_SECONDS)

    def begin(self, source: SourceFile) -> None:
        self.begun += 1
        self.path = source.path

    def advance(self, records: int) -> None:
        self.records += records
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + SAY_SECONDS
            self.say(
                f"{counted(self.records, 'record')} searched, now {self.path}, file {self.begun:,} of {self.files:,}"
            )


def _first(source: SourceFile, read: ReadSettings, progress: _Progress) -> tuple[int, str] | None:
    """Position and text of the first document of a file."""
    with contextlib.closing(read_range(FileRange(source), read)) as batches:  # type: ignore[type-var]
        for batch in batches:
            progress.advance(len(batch) + len(batch.bad) + batch.excluded)
            if len(batch):
                start, stop = batch.text_offsets[:2]
                return int(batch.positions[0]), bytes(batch.text_data[start:stop]).decode()
    return None


def _sources(report: Mapping[str, Any]) -> Sequence[SourceFile]:
    """The files of raw, listed again, without those that runs have written.

    Raises:
        RequestError: they are not there, or lie below another root than in the run.
    """
    specs, root = report["config"]["raw"], report["corpus"]["raw"]["root"]
    try:
        corpus = list_corpus(specs)
        if corpus.root == root:
            written = written_by_runs(corpus.files, specs)
            return [file for file in corpus.files if file.path not in written]
        said = f"--raw {' '.join(specs)} is {corpus.root} here, and was {root}"
    except RequestError as error:
        said = str(error)
    raise RequestError(f"{said}: go to the folder in which the run was started, or name the file by --file")


def _below_root(report: Mapping[str, Any], file: str) -> str:
    """A file's path below the corpus root, also where the whole path was given."""
    root = report["corpus"]["raw"]["root"]
    return file.removeprefix(f"{root.rstrip('/')}/") if root else file


def _source(report: Mapping[str, Any], file: str) -> SourceFile:
    root = report["corpus"]["raw"]["root"]
    is_url = not root or "://" in file  # on another filesystem than the list file that names it
    (source,) = list_corpus([file if is_url else f"{root.rstrip('/')}/{file}"]).files
    return source
