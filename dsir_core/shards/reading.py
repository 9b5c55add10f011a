"""What counting and scoring a shard share: its identity, reading it, and the account of what was read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from dsir_core.checkpoints.kinds import QUARANTINE
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.read import read_range
from dsir_core.corpus.tally import Quarantine, Tally
from dsir_core.corpus.types import Batch, BlockFilter, FileRange, Shard
from dsir_core.digests import digest

READER_VERSION = "reader-v3"
"""Changes whenever the same bytes would be read as other documents; part of every checkpoint's key."""


def identity(shard: Shard, read: ReadSettings) -> dict[str, Any]:
    """What the documents of a shard depend on, as plain JSON: files as they were listed, ranges, reader settings."""
    return {
        "reader": READER_VERSION,
        "read": read.model_dump(mode="json"),
        "pieces": [
            [
                file_range.file.path,
                file_range.file.url,
                file_range.file.size,
                file_range.file.version,
                file_range.start,
                file_range.stop,
            ]
            for file_range in shard.ranges
        ],
    }


def read_shard(
    shard: Shard,
    read: ReadSettings,
    tally: Tally,
    quarantine: Quarantine,
    keep_block: Callable[[str], BlockFilter] | None = None,
    fields: tuple[str, ...] = (),
) -> Iterator[tuple[FileRange, Batch]]:
    """All batches of a shard with the range each comes from, counted into `tally` and `quarantine`.

    Args:
        keep_block: for a file's path, which blocks of it to read; all when None.
        fields: other fields whose values are wanted.
    """
    for file_range in shard.ranges:
        keep = keep_block(file_range.file.path) if keep_block else None
        for batch in quarantine.watch(read_range(file_range, read, keep_block=keep, fields=fields), tally):
            yield file_range, batch


def quarantine_of(shard: Shard, read: ReadSettings) -> str:
    """Where the bad records of a shard are listed: kind and key."""
    return QUARANTINE.name(digest(identity(shard, read)))


@contextlib.contextmanager
def quarantining(store: Store, shard: Shard, read: ReadSettings, tally: Tally, *, write: bool) -> Iterator[Quarantine]:
    """A quarantine whose lines reach the workdir, under the shard's identity, when the block ends well."""
    quarantine = Quarantine()
    try:
        yield quarantine
        if write and tally.bad:
            with store.writer(f"{quarantine_of(shard, read)}{QUARANTINE.suffix}") as stream:
                quarantine.copy_to(stream)
    finally:
        quarantine.close()
