"""The beginnings of documents, or of chunks of them, that are shown as examples, read from their files."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.shards.selected_records import SelectedRows, read_chosen

EXAMPLE_CHARACTERS = 600

Place: TypeAlias = tuple[int, int]
"""Position, and offset of a chunk in its document's text; 0 for a whole document."""


@dataclass(frozen=True)
class ExamplesTask:
    """Documents of one file."""

    file: SourceFile
    read: ReadSettings
    """Of whole documents."""
    places: tuple[Place, ...]
    """Increasing, each once."""
    chunk: Chunking | None
    """How documents are cut into chunks."""


def read_examples(task: ExamplesTask) -> list[str]:
    """The beginning of each document or chunk. A compressed file is read no further than to the last of them.

    Raises:
        DamagedFileError: the file cannot be read, or has changed.
    """
    positions = [position for position, _ in task.places]
    if task.chunk is None:
        found = [text for text, _ in read_texts(task.file, task.read, positions, 4 * EXAMPLE_CHARACTERS)]
    else:
        found = list(itertools.islice(_chunks(task, task.chunk, positions), len(positions)))
    return [text[:EXAMPLE_CHARACTERS] for text in found]


def _chunks(task: ExamplesTask, chunk: Chunking, positions: Sequence[int]) -> Iterator[str]:
    offsets = np.array([offset for _, offset in task.places], np.int64)
    chosen = SelectedRows(np.array(positions, np.int64), np.zeros(len(positions), np.int32), offsets)
    for _, found, _ in read_chosen(FileRange(task.file), task.read, chosen, chunk):
        for start, stop in itertools.pairwise(found.text_offsets.tolist()):
            yield bytes(found.text_data[start : min(stop, start + 4 * EXAMPLE_CHARACTERS)]).decode(errors="ignore")


def read_texts(
    file: SourceFile, read: ReadSettings, positions: Sequence[int], n_bytes: int | None = None
) -> list[tuple[str, bool]]:
    """Texts of the documents at some positions, cut to a number of bytes; and whether each was cut.

    Raises:
        DamagedFileError: the file cannot be read, or holds no document there.
    """
    texts: list[tuple[str, bool]] = []
    wanted = np.array(positions, np.int64)
    with contextlib.closing(read_range(FileRange(file), read, positions=wanted)) as batches:  # type: ignore[type-var]
        for batch in batches:
            for start, stop in zip(batch.text_offsets[:-1], batch.text_offsets[1:], strict=True):
                end = stop if n_bytes is None else min(stop, start + n_bytes)
                texts.append((bytes(batch.text_data[start:end]).decode(errors="ignore"), bool(end < stop)))
            if len(texts) == len(positions):
                break
    return texts
