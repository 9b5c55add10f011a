"""Which documents two selections share: by where they stand in raw, or by a key in their records; in bounded memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.checkpoints.store import Store
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.listing import list_corpus
from dsir_core.errors import RequestError
from dsir_core.external.keys import key_strings, string_hashes
from dsir_core.resampling.weights_schema import OFFSET
from dsir_core.shards.selection_list import NAME, read_selected

N_NAMED = 5
"""Documents of each side that are named."""

GROUP_KEYS = 1 << 20
"""About how many keys of each side are compared at a time."""

HASH = np.dtype([("first", np.uint64), ("second", np.uint64)])

Place: TypeAlias = tuple[Any, ...]
"""File, position and, where both selections are of chunks, offset."""

Hashes: TypeAlias = npt.NDArray[np.void]


@dataclass
class Shared:
    """Documents in both of two selections, and in one of them alone."""

    both: int = 0
    only: tuple[int, int] = (0, 0)
    """In the first alone, in the second alone."""
    named: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Some of the documents that are in the first alone, and in the second alone."""


@dataclass
class _Alone:
    n: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, place: Place) -> None:
        self.n += 1
        if len(self.named) < N_NAMED:
            file, position, *offset = place
            self.named.append(f"{file} at {position}" + (f", from byte {offset[0]}" if offset else ""))


def shared_by_place(outputs: tuple[Store, Store]) -> Shared:
    """Compare two lists of selected documents by file and position, and by offset where both are of chunks.

    Both are in that order, so only a batch of each is held at a time.

    Raises:
        RequestError: a list cannot be read, or is not in order.
    """
    with_offset = all(_has_offset(output) for output in outputs)
    first, second = (_places(output, with_offset=with_offset) for output in outputs)
    both, only_first, only_second = 0, _Alone(), _Alone()
    a, b = next(first, None), next(second, None)
    while a is not None or b is not None:
        if a is not None and a == b:
            both += 1
            a, b = next(first, None), next(second, None)
        elif a is not None and (b is None or a < b):
            only_first.add(a)
            a = next(first, None)
        elif b is not None:
            only_second.add(b)
            b = next(second, None)
    return Shared(both, (only_first.n, only_second.n), (tuple(only_first.named), tuple(only_second.named)))


def _has_offset(output: Store) -> bool:
    return any(OFFSET in batch.schema.names for batch in itertools.islice(read_selected(output), 1))


def _places(output: Store, *, with_offset: bool) -> Iterator[Place]:
    """Each once, in order."""
    columns = ["file", "position", *([OFFSET] if with_offset else [])]
    last: Place = ("", -1)
    for batch in read_selected(output, columns):
        values = [batch["file"].cast(pa.string()), *(batch[column] for column in columns[1:])]
        for place in zip(*(value.to_pylist() for value in values), strict=True):
            if place < last:
                raise RequestError(f"{output.redacted}/{NAME} is not in order of file and position")
            if place != last:
                yield place
            last = place


@dataclass(frozen=True)
class Parts:
    """The written records of a selection."""

    output: str
    names: Sequence[str]
    documents: int

    def keys(self, key: str) -> Iterator[pa.Array]:
        """Values of a field as Arrow large_string arrays, a bounded number at a time.

        Raises:
            RequestError: a record has no such field, or a value that is neither text nor an integer.
        """
        for name in self.names:
            (file,) = list_corpus([f"{self.output.rstrip('/')}/{name}"]).files
            n_before = 0
            for (column,) in format_of(file).columns(file, (key,)):
                values = column.to_pylist() if isinstance(column, pa.Array) else column
                texts, there = key_strings(values)
                if not there.all():
                    raise RequestError(
                        f"{name}: record {n_before + int(np.argmin(there)):,} has no text and no integer in the field "
                        f"{key!r}: name another key"
                    )
                n_before += len(texts)
                yield texts


def shared_by_key(parts: tuple[Parts, Parts], key: str) -> Shared:
    """Compare the records of two selections by the value of a field; records of the same value count once.

    Hashes of the values (128 bits) go to temporary files, in groups that fit into memory.

    Args:
        parts: of the two selections.
        key: dotted path of the field.

    Raises:
        RequestError: a record has no such field, or a part is not there.
        DamagedFileError: a part cannot be read.
    """
    n_groups = 1 + max(side.documents for side in parts) // GROUP_KEYS
    both, only, some = 0, [0, 0], [np.empty(0, HASH), np.empty(0, HASH)]
    with tempfile.TemporaryDirectory(prefix="dsir-diff-") as folder:
        groups = [list(_grouped(side, key, Path(folder) / str(i), n_groups)) for i, side in enumerate(parts)]
        for paths in zip(*groups, strict=True):
            first, second = (np.unique(np.fromfile(path, HASH)) for path in paths)
            both += len(np.intersect1d(first, second, assume_unique=True))
            for side, (mine, other) in enumerate(((first, second), (second, first))):
                alone = np.setdiff1d(mine, other, assume_unique=True)
                only[side] += len(alone)
                some[side] = np.concatenate([some[side], alone[:N_NAMED]])[:N_NAMED]
    named = tuple(tuple(_keys_of(side, key, hashes)) for side, hashes in zip(parts, some, strict=True))
    return Shared(both, (only[0], only[1]), (named[0], named[1]))


def _hashes(texts: pa.Array) -> Hashes:
    found = np.empty(len(texts), HASH)
    found["first"], found["second"] = string_hashes(texts)
    return found


def _grouped(parts: Parts, key: str, folder: Path, n_groups: int) -> Iterator[Path]:
    """Hashes of the keys in files by group."""
    folder.mkdir()
    paths = [folder / str(group) for group in range(n_groups)]
    for path in paths:
        path.touch()
    for texts in parts.keys(key):
        hashes = _hashes(texts)
        groups = hashes["first"] % np.uint64(n_groups)
        for group in np.unique(groups).tolist():
            with paths[group].open("ab") as stream:
                hashes[groups == group].tofile(stream)
    yield from paths


def _keys_of(parts: Parts, key: str, hashes: Hashes) -> Iterator[str]:
    """The keys that have some hashes, each once, in order of the parts."""
    left = set(hashes.tolist())
    for texts in parts.keys(key) if left else ():
        for hashed, text in zip(_hashes(texts).tolist(), texts.to_pylist(), strict=True):
            if hashed in left:
                left.remove(hashed)
                yield text
        if not left:
            return
