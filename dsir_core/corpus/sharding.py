"""From source files to shards: large files are cut, small ones bundled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from dsir_core.corpus.formats.parquet import row_group_bytes
from dsir_core.corpus.types import WHOLE, FileRange, Shard, SourceFile
from dsir_core.digests import hash64
from dsir_core.errors import DamagedFileError

SHARD_BYTES = 128 * 2**20


def plan_shards(files: Sequence[SourceFile], shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Cut files into shards of about `shard_bytes` stored bytes, in order of (path, start).

    Plain JSONL is cut into byte ranges of nearly equal size, Parquet into ranges of row groups; other compressed files
    stay whole. Consecutive small files share a shard, which ends where a file's own name says so: a file that comes or
    goes changes the shard that it is in, and few others.

    Args:
        files: sorted by path.
        shard_bytes: stored bytes of a shard, at most, where files can be cut.
    """
    shards: list[Shard] = []
    bundle: list[FileRange] = []
    bundled = 0
    for file_range, n_bytes in _ranges_of(files, shard_bytes):
        if bundle and (bundled + n_bytes > shard_bytes or _begins_shard(bundle[-1], file_range, shard_bytes)):
            shards.append(Shard(len(shards), tuple(bundle), bundled))
            bundle, bundled = [], 0
        bundle.append(file_range)
        bundled += n_bytes
    if bundle:
        shards.append(Shard(len(shards), tuple(bundle), bundled))
    return shards


def _begins_shard(before: FileRange, file_range: FileRange, shard_bytes: int) -> bool:
    """Whether a range begins a shard by its own nature: a part of a file does, and what stands behind one.

    A whole file does in proportion to its size, so that on average half a shard's bytes lie between two that do.
    """
    if any(part.start or part.stop != WHOLE for part in (before, file_range)):
        return True
    return hash64("bundle", file_range.file.path) * shard_bytes < 2 * file_range.file.size * 2**64


def _ranges_of(files: Sequence[SourceFile], shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
    """Pieces in order, and the stored bytes of each."""
    for file in files:
        if file.size <= shard_bytes or file.compression != "none":
            yield FileRange(file), file.size
        elif file.format == "jsonl":
            yield from _byte_ranges(file, shard_bytes)
        else:
            yield from _row_group_ranges(file, shard_bytes)


def _byte_ranges(file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
    n = -(-file.size // shard_bytes)
    edges = [file.size * i // n for i in range(n + 1)]
    for start, stop in itertools.pairwise(edges):
        yield FileRange(file, start, stop), stop - start


def _row_group_ranges(file: SourceFile, shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
    try:
        sizes = row_group_bytes(file)
    except DamagedFileError:
        sizes = []  # for the shard that reads it to say, when all others are done
    if not sizes:
        yield FileRange(file, 0, WHOLE), file.size
        return
    start, n_bytes = 0, 0
    for group, size in enumerate(sizes):
        if group > start and n_bytes + size > shard_bytes:
            yield FileRange(file, start, group), n_bytes
            start, n_bytes = group, 0
        n_bytes += size
    yield FileRange(file, start, len(sizes)), n_bytes
