"""The beginnings of documents that are shown as examples, read from their files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsir_core.corpus.read import read_piece
from dsir_core.corpus.types import Piece, ReadSettings, SourceFile

EXAMPLE_CHARACTERS = 600


@dataclass(frozen=True)
class ExamplesTask:
    """Documents of one file."""

    file: SourceFile
    read: ReadSettings
    positions: tuple[int, ...]
    """Increasing, each once."""


def read_examples(task: ExamplesTask) -> list[str]:
    """The beginning of each document. A compressed file is read no further than to the last of them.

    Raises:
        DamagedFileError: the file cannot be read, or has changed.
    """
    found = [text for text, _ in read_texts(task.file, task.read, task.positions, 4 * EXAMPLE_CHARACTERS)]
    return [text[:EXAMPLE_CHARACTERS] for text in found]


def read_texts(
    file: SourceFile, read: ReadSettings, positions: Sequence[int], n_bytes: int | None = None
) -> list[tuple[str, bool]]:
    """Texts of the documents at some positions, cut to a number of bytes; and whether each was cut.

    Raises:
        DamagedFileError: the file cannot be read, or holds no document there.
    """
    texts: list[tuple[str, bool]] = []
    wanted = np.array(positions, np.int64)
    with contextlib.closing(read_piece(Piece(file), read, positions=wanted)) as batches:  # type: ignore[type-var]
        for batch in batches:
            for start, stop in zip(batch.text_offsets[:-1], batch.text_offsets[1:], strict=True):
                end = stop if n_bytes is None else min(stop, start + n_bytes)
                texts.append((bytes(batch.text_data[start:end]).decode(errors="ignore"), bool(end < stop)))
            if len(texts) == len(positions):
                break
    return texts
