"""From source files to shards: large files are cut, small ones bundled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.types import WHOLE, FileRange, Shard, SourceFile
from dsir_core.digests import hash64

SHARD_BYTES = 128 * 2**20
MAX_FILES = 1000
"""In one shard: each has to be opened, which takes longer than reading a tiny one."""


def plan_shards(files: Sequence[SourceFile], shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Cut files into shards of about `shard_bytes` stored bytes, in order of (path, start).

    A large file is cut as its format can be. Consecutive small files share a shard, which ends where a file's own name
    says so: a file that comes or goes changes the shard that it is in, and few others.

    Args:
        files: sorted by path.
        shard_bytes: stored bytes of a shard, at most, where files can be cut.
    """
    shards: list[Shard] = []
    bundle: list[FileRange] = []
    bundled = 0
    for file_range, n_bytes in _ranges_of(files, shard_bytes):
        is_full = bundled + n_bytes > shard_bytes or len(bundle) == MAX_FILES
        if bundle and (is_full or _begins_shard(bundle[-1], file_range, shard_bytes)):
            shards.append(Shard(len(shards), tuple(bundle), bundled))
            bundle, bundled = [], 0
        bundle.append(file_range)
        bundled += n_bytes
    if bundle:
        shards.append(Shard(len(shards), tuple(bundle), bundled))
    return shards


def _begins_shard(before: FileRange, file_range: FileRange, shard_bytes: int) -> bool:
    """Whether a range begins a shard by its own nature: a part of a file does, and what stands behind one.

    A whole file does in proportion to its size, so that on average half a shard's bytes lie between two that do, and no
    more than half of `MAX_FILES`.
    """
    if any(part.start or part.stop != WHOLE for part in (before, file_range)):
        return True
    size = max(file_range.file.size, shard_bytes // MAX_FILES)
    return hash64("bundle", file_range.file.path) * shard_bytes < 2 * size * 2**64


def _ranges_of(files: Sequence[SourceFile], shard_bytes: int) -> Iterator[tuple[FileRange, int]]:
    """File ranges in order, and the stored bytes of each."""
    for file in files:
        if file.size <= shard_bytes:
            yield FileRange(file), file.size
        else:
            yield from format_of(file).ranges(file, shard_bytes)
