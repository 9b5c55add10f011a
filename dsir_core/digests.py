"""Digests of settings, files and results: what checkpoint keys and receipts are made of."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any

from pydantic import BaseModel

CHUNK_BYTES = 8 * 2**20


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same value on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def hash64(*parts: str | int) -> int:
    """64-bit hash of strings and integers (BLAKE2b over their canonical JSON), for keys of noise and samples."""
    return int.from_bytes(hashlib.blake2b(canonical_json(parts), digest_size=8).digest(), "little")


def stream_digest(stream: IO[bytes]) -> str:
    """SHA-256 of what a stream still holds, in constant memory."""
    sha256 = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        sha256.update(chunk)
    return sha256.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")
