"""What counting and scoring a shard share: its identity, reading it, and the account of what was read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.read import read_piece
from dsir_core.corpus.tally import Quarantine, Tally
from dsir_core.corpus.types import Batch, KeepBlock, Piece, Shard
from dsir_core.digests import digest

READER_VERSION = "reader-v3"
"""Changes whenever the same bytes would be read as other documents; part of every checkpoint's key."""


def identity(shard: Shard, read: ReadSettings) -> dict[str, Any]:
    """What the documents of a shard depend on, as plain JSON: files as they were listed, ranges, reader settings."""
    return {
        "reader": READER_VERSION,
        "read": read.model_dump(mode="json"),
        "pieces": [
            [piece.file.path, piece.file.url, piece.file.size, piece.file.version, piece.start, piece.stop]
            for piece in shard.pieces
        ],
    }


def read_shard(
    shard: Shard,
    read: ReadSettings,
    tally: Tally,
    quarantine: Quarantine,
    keep_block: Callable[[str], KeepBlock] | None = None,
    fields: tuple[str, ...] = (),
) -> Iterator[tuple[Piece, Batch]]:
    """All batches of a shard with the piece each comes from, counted into `tally` and `quarantine`.

    Args:
        keep_block: for a file's path, which blocks of it to read; all when None.
        fields: other fields whose values are wanted.
    """
    for piece in shard.pieces:
        keep = keep_block(piece.file.path) if keep_block else None
        for batch in quarantine.watch(read_piece(piece, read, keep_block=keep, fields=fields), tally):
            yield piece, batch


def quarantine_of(shard: Shard, read: ReadSettings) -> str:
    """Where the bad records of a shard are listed: kind and key."""
    return f"quarantine/{digest(identity(shard, read))}"


@contextlib.contextmanager
def quarantining(store: Store, shard: Shard, read: ReadSettings, tally: Tally, *, write: bool) -> Iterator[Quarantine]:
    """A quarantine whose lines reach the workdir, under the shard's identity, when the block ends well."""
    quarantine = Quarantine()
    try:
        yield quarantine
        if write and tally.bad:
            with store.writer(f"{quarantine_of(shard, read)}.jsonl") as stream:
                quarantine.copy_to(stream)
    finally:
        quarantine.close()
