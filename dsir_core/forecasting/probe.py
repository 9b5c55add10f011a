"""A small sample of a corpus: some hundred kilobytes at places spread over it, and how much of it they stand for."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.compression import PLAIN
from dsir_core.corpus.formats.registry import ENTRIES, Format, format_named, format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import WHOLE, Batch, FileRange, Shard, SourceFile

PROBES = 32
"""Places of a corpus that are read."""

PROBE_BYTES = 2**18
"""Of each place: stored bytes where a file can be entered anywhere, else decompressed bytes."""


@dataclass(frozen=True)
class Probe:
    """A place of a corpus."""

    kind: str
    """Format and compression, see `kind_of`."""
    file_range: FileRange
    limit: int
    """Decompressed bytes after which reading ends; -1 for none."""
    n_stored: int
    """Stored bytes of the range."""


@dataclass
class Read:
    """What one probe gave."""

    kind: str
    n_stored: float
    """Stored bytes that its documents stand for."""
    documents: int = 0
    bad: int = 0
    excluded: int = 0
    text_bytes: int = 0
    tokens: int = 0
    eligible: int = 0
    eligible_tokens: int = 0
    first_bad: str = ""


def kind_of(file: SourceFile) -> str:
    """Files of one kind have similar documents for each stored byte: `jsonl`, `jsonl.gzip`, `parquet`, ..."""
    return file.format if file.compression == PLAIN else f"{file.format}.{file.compression}"


def plain_format(kind: str) -> Format | None:
    """The format of a kind of files that are not compressed as a whole; None for others."""
    return format_named(kind) if kind in ENTRIES else None


def is_enterable(kind: str) -> bool:
    """Whether files of a kind can be read from anywhere."""
    format_ = plain_format(kind)
    return format_ is not None and format_.enterable


def stored_by_kind(shards: Sequence[Shard]) -> dict[str, int]:
    """Stored bytes of a corpus by kind of file."""
    stored: dict[str, int] = defaultdict(int)
    for _, n_stored, kind in _ranges_of(shards):
        stored[kind] += n_stored
    return dict(stored)


def probes_of(shards: Sequence[Shard], n_probes: int = PROBES) -> list[Probe]:
    """Places that are spread evenly over the stored bytes of each kind of file, at least two of each."""
    by_kind: dict[str, list[tuple[FileRange, int]]] = defaultdict(list)
    for file_range, n_stored, kind in _ranges_of(shards):
        by_kind[kind].append((file_range, n_stored))
    total = sum(n_stored for _, n_stored, _ in _ranges_of(shards))
    found: list[Probe] = []
    for kind, ranges in sorted(by_kind.items()):
        mine = sum(n_stored for _, n_stored in ranges)
        wanted = max(2, round(n_probes * mine / max(1, total)))
        if mine <= 2 * wanted * PROBE_BYTES:
            found += [Probe(kind, file_range, -1, n_stored) for file_range, n_stored in ranges]
        else:
            found += _spread(kind, ranges, wanted)
    return found


def _ranges_of(shards: Sequence[Shard]) -> Iterator[tuple[FileRange, int, str]]:
    """Pieces, their stored bytes (of row groups an even share of their file's) and their kind."""
    for shard in shards:
        sizes = [_size_of(file_range) for file_range in shard.ranges]
        for file_range, size in zip(shard.ranges, sizes, strict=True):
            yield file_range, shard.n_bytes if len(sizes) == 1 else size, kind_of(file_range.file)


def _size_of(file_range: FileRange) -> int:
    is_range = file_range.stop != WHOLE and is_enterable(kind_of(file_range.file))
    return file_range.stop - file_range.start if is_range else file_range.file.size


def _spread(kind: str, ranges: Sequence[tuple[FileRange, int]], wanted: int) -> Iterator[Probe]:
    ends = np.cumsum([n_stored for _, n_stored in ranges])
    places = ((np.arange(wanted) + 0.5) / wanted * ends[-1]).astype(np.int64)
    seen: set[tuple[str, int]] = set()
    for place in places:
        index = int(np.searchsorted(ends, place, side="right"))
        file_range, n_stored = ranges[index]
        if is_enterable(kind) and n_stored > PROBE_BYTES:
            # A range of a file: as many documents begin in it as in any other of its size, however long they are.
            offset = min(int(place - (ends[index] - n_stored)), n_stored - PROBE_BYTES)
            file_range = replace(
                file_range, start=file_range.start + offset, stop=file_range.start + offset + PROBE_BYTES
            )
            n_stored = PROBE_BYTES
        if (file_range.file.path, file_range.start) not in seen:
            seen.add((file_range.file.path, file_range.start))
            # A range ends by itself, at the end of the last record that begins in it.
            yield Probe(kind, file_range, -1 if is_enterable(kind) else PROBE_BYTES, n_stored)


def longest(shards: Sequence[Shard], n_bytes: int) -> dict[str, Probe]:
    """For each kind of file the beginning of its longest range, of so many decompressed bytes."""
    found: dict[str, Probe] = {}
    for file_range, n_stored, kind in _ranges_of(shards):
        if kind not in found or n_stored > found[kind].n_stored:
            found[kind] = Probe(kind, file_range, n_bytes, n_stored)
    return found


def read_probe(probe: Probe, settings: ReadSettings) -> Iterator[tuple[Batch, Read]]:
    """Batches of a probe with what has been read so far; the last has the whole.

    Raises:
        DamagedFileError: the file cannot be read.
        RequestError: a file with named columns has no such column.
    """
    file = probe.file_range.file
    read = Read(probe.kind, probe.n_stored)
    decompressed_bytes = rows = 0
    with contextlib.closing(read_range(probe.file_range, settings)) as batches:  # type: ignore[type-var]
        for batch in batches:
            read.documents += len(batch)
            read.bad += len(batch.bad)
            read.excluded += batch.excluded
            read.text_bytes += int(batch.text_offsets[-1] - batch.text_offsets[0])
            if batch.bad and not read.first_bad:
                bad = batch.bad[0]
                read.first_bad = f"{bad.path} at {bad.position}: {bad.reason}"
            decompressed_bytes += batch.n_bytes
            rows += len(np.unique(batch.positions)) + len(batch.bad) + batch.excluded
            is_cut = 0 <= probe.limit <= decompressed_bytes
            if is_cut:
                read.n_stored = min(read.n_stored, format_of(file).stored_bytes(file, decompressed_bytes, rows))
            yield batch, read
            if is_cut:
                return


def texts_of_batch(batch: Batch) -> Iterator[bytes]:
    """The text of each document."""
    offsets: npt.NDArray[np.int64] = batch.text_offsets
    data = batch.text_data[: int(offsets[-1])].tobytes()
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield data[start:stop]
