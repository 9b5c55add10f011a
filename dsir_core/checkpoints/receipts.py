"""Receipts: the small JSON files that prove checkpoints complete."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

from dsir_core.digests import digest

SEAL = "seal"
"""Key of a receipt's own digest in its file."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a checkpoint is complete."""

    kind: str
    key: str
    name: str
    """The data file, relative to the workdir."""
    n_bytes: int
    sha256: str
    summary: dict[str, Any]
    """What the next stage needs to know without reading the data; plain JSON values."""

    def compact(self) -> Receipt:
        """Without its summary: what is held of every shard must be small."""
        return replace(self, kind=sys.intern(self.kind), summary={})


@dataclass
class Draft:
    """A checkpoint being written."""

    stream: IO[bytes]
    summary: dict[str, Any]
    """Of the receipt; may be filled until the block of `Store.checkpoint` ends."""
    receipt: Receipt | None = None
    """There once the block of `Store.checkpoint` has ended."""

    @property
    def sealed(self) -> Receipt:
        """The receipt of a checkpoint that is written."""
        assert self.receipt is not None, "the checkpoint's block has not ended"
        return self.receipt


def sealed(receipt: Receipt) -> bytes:
    """A receipt's file: its values and their digest."""
    values = asdict(receipt)
    return json.dumps({**values, SEAL: digest(values)}, sort_keys=True, indent=1).encode()


def unsealed(text: bytes) -> Receipt | None:
    """The receipt in a file, or None where the file is not what was written."""
    try:
        values = json.loads(text)
        seal = values.pop(SEAL)
        return Receipt(**values) if seal == digest(values) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
