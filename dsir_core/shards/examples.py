"""What is shown of documents, or chunks of them, as examples: their heaviest passages, and fields of their records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.fields import stratum_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.errors import RequestError
from dsir_core.report.explained import levels_of
from dsir_core.shards.explaining import weigh_tokens
from dsir_core.shards.score import load_model
from dsir_core.shards.selected_records import SelectedRows, read_chosen

EXAMPLE_CHARACTERS = 600

WEIGHED_BYTES = 2**14
"""Of a document, from its beginning: the heaviest passage is looked for there."""

FIELD_CHARACTERS = 200

Place: TypeAlias = tuple[int, int]
"""Position, and offset of a chunk in its document's text; 0 for a whole document."""


@dataclass(frozen=True)
class WeighedBy:
    """What passages are weighed by."""

    workdir: str
    model_digest: str
    features: FeatureSettings


@dataclass(frozen=True)
class ExamplesTask:
    """Documents of one file."""

    file: SourceFile
    read: ReadSettings
    """Of whole documents."""
    places: tuple[Place, ...]
    """Increasing, each once."""
    targets: tuple[str, ...]
    """For each of them, who chose it, or came nearest to choosing it."""
    chunk: Chunking | None
    """How documents are cut into chunks."""
    fields: tuple[str, ...]
    """Of the records, that are shown."""
    by: WeighedBy | None
    """None where n-grams do not decide: then the beginning of the text is shown."""


@dataclass(frozen=True)
class Example:
    """What is shown of one document."""

    text: str
    """Its heaviest passage, or its beginning."""
    start: int
    """Where that begins in the document or chunk, in characters."""
    levels: list[list[int]]
    """The passage in fragments: characters, and the level of colour of what they add to the log weight."""
    fields: dict[str, str]
    """By name, without those that the record lacks."""


def read_examples(task: ExamplesTask) -> list[Example]:
    """What is shown of each document or chunk. A compressed file is read no further than to the last of them.

    Raises:
        DamagedFileError: the file cannot be read, or has changed.
    """
    fields = task.fields
    try:
        found = list(_texts(task, fields))
    except RequestError:  # a column that is not there must not end a run which has selected everything
        fields = tuple(field for field in fields if _has(task, field))
        found = list(_texts(task, fields))
    return [
        _example(text, dict(_shown(fields, values)), target, task.by)
        for (text, values), target in zip(found, task.targets, strict=True)
    ]


def _has(task: ExamplesTask, field: str) -> bool:
    """Whether the file has a column."""
    try:
        next(_texts(task, (field,)), None)
    except RequestError:
        return False
    return True


def _texts(task: ExamplesTask, fields: tuple[str, ...]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The beginning of the text at each place, and the values of fields of its record."""
    positions = np.array([position for position, _ in task.places], np.int64)
    offsets = None if task.chunk is None else np.array([offset for _, offset in task.places], np.int64)
    chosen = SelectedRows(positions, np.zeros(len(positions), np.int32), offsets)
    left = len(positions)
    with contextlib.closing(read_chosen(FileRange(task.file), task.read, chosen, task.chunk, fields=fields)) as batches:  # type: ignore[type-var]
        for whole, batch, _ in batches:
            values = dict(zip(whole.positions.tolist(), whole.fields, strict=True)) if fields else {}
            for position, (start, stop) in zip(
                batch.positions.tolist(), pairwise(batch.text_offsets.tolist()), strict=True
            ):
                data = bytes(batch.text_data[start : min(stop, start + WEIGHED_BYTES)])
                yield data.decode(errors="ignore"), values.get(position, ())
            left -= len(batch)
            if not left:
                return


def _shown(names: Sequence[str], values: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for name, value in zip(names, values, strict=False):
        if value is not None:
            text = stratum_of(value)
            yield name, text if len(text) <= FIELD_CHARACTERS else f"{text[:FIELD_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"


def _example(text: str, fields: dict[str, str], target: str, by: WeighedBy | None) -> Example:
    if by is None:
        return Example(text[:EXAMPLE_CHARACTERS], 0, [], fields)
    model = load_model(by.workdir, by.model_digest)
    spans, weights = weigh_tokens(text, model.log_ratio[model.selectors.index(target)], by.features)
    first, stop = heaviest(spans, weights, EXAMPLE_CHARACTERS)
    if stop == first:
        return Example(text[:EXAMPLE_CHARACTERS], 0, [], fields)
    start, end = int(spans[first, 0]), int(spans[stop - 1, 1])
    passage = text[start : min(end, start + EXAMPLE_CHARACTERS)]
    inside = [(one - start, min(len(passage), other - start)) for one, other in spans[first:stop].tolist()]
    return Example(
        passage, start, [[n, level] for n, level in levels_of(len(passage), inside, weights[first:stop])], fields
    )


def heaviest(spans: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], characters: int) -> tuple[int, int]:
    """First token, and the one behind the last, of the passage whose weights sum to the most, above or below 0.

    Args:
        spans: int64[tokens, 2], start and stop of each token.
        weights: float64[tokens].
        characters: of a passage, at most, but for a first token that is longer.
    """
    if not len(spans):
        return 0, 0
    starts, stops = spans.T
    last = np.maximum(np.searchsorted(stops, starts + characters, side="right"), np.arange(len(spans)) + 1)
    sums = np.concatenate([np.zeros(1), np.cumsum(weights)])
    totals = np.abs(sums[last] - sums[:-1])
    best = int(np.argmax(totals))
    return best, int(last[best])


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
