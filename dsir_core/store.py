"""Checkpoints and their receipts.

A checkpoint is one data file under `WORKDIR/KIND/KEY.SUFFIX` and a receipt `WORKDIR/KIND/KEY.json`. The key is the
digest of everything the data depends on, so a checkpoint is never stale: a changed input has another key. The receipt
is written after its data, holds the data's size and SHA-256 and a small summary, and proves the checkpoint complete.
There is no lock: two runs that do the same work write the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import fsspec

from dsir_core.corpus.urls import is_local, without_credentials
from dsir_core.errors import RunFailedError

CHUNK_BYTES = 8 * 2**20


class DamagedCheckpointError(RunFailedError):
    """A checkpoint's data is not what its receipt says."""


@dataclass(frozen=True)
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


@dataclass
class Draft:
    """A checkpoint being written."""

    stream: IO[bytes]
    receipt: Receipt | None = None
    """There once the block of `Store.checkpoint` has ended."""

    @property
    def sealed(self) -> Receipt:
        """The receipt of a checkpoint that is written."""
        assert self.receipt is not None, "the checkpoint's block has not ended"
        return self.receipt


class Store:
    """Files under one URL, local or on any fsspec filesystem. Instances pickle (workers get them by value)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connect()

    def _connect(self) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._local = is_local(self._fs)
        self.shown = without_credentials(self.url)

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.url = state["url"]
        self._connect()

    def path(self, name: str) -> str:
        """Full path of a file, as its filesystem wants it."""
        return f"{self._root}/{name}"

    def holds(self, url: str) -> bool:
        """Whether a file lies below this store."""
        filesystem, path = fsspec.core.url_to_fs(url)
        root = self._fs._strip_protocol(self._root).rstrip("/")
        return bool(filesystem == self._fs) and path.startswith(f"{root}/")

    def exists(self, name: str) -> bool:
        """Whether a file stands under this name."""
        return bool(self._fs.exists(self.path(name)))

    def read(self, name: str) -> bytes:
        """A whole small file.

        Raises:
            FileNotFoundError: there is none.
        """
        return bytes(self._fs.cat_file(self.path(name)))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return self._fs.open(self.path(name), "rb")  # type: ignore[no-any-return]

    def names(self, prefix: str = "") -> list[str]:
        """Sorted names of all files below a folder, relative to the root; [] where there is none."""
        root = self._fs._strip_protocol(self._root)
        found = self._fs.find(f"{self._root}/{prefix}".rstrip("/"))
        return sorted(path[len(root) :].lstrip("/") for path in found)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self.path(name))

    @contextlib.contextmanager
    def writer(self, name: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
        """Write a file that appears under its name only when the block ends without an exception.

        On a local disk: a temporary file beside it, fsync, rename. Elsewhere: a temporary local file, then one upload.

        Args:
            durable: whether the file must outlive a power failure; else fsync is spared.
        """
        folder = Path(self.path(name)).parent if self._local else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".incoming-", dir=folder)
        try:
            with os.fdopen(handle, "w+b") as stream:
                yield stream
                stream.flush()
                if self._local and durable:
                    os.fsync(stream.fileno())
            if self._local:
                os.chmod(temporary, 0o666 & ~_umask())
                os.replace(temporary, self.path(name))
            else:
                self._fs.put_file(temporary, self.path(name))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a whole small file, complete or not at all."""
        if not self._local:
            self._fs.pipe_file(self.path(name), data)
            return
        with self.writer(name, durable=durable) as stream:
            stream.write(data)

    def receipt(self, kind: str, key: str) -> Receipt | None:
        """The receipt of a complete checkpoint whose data is there at its full size, or None."""
        try:
            receipt = Receipt(**json.loads(self.read(f"{kind}/{key}.json")))
            size = int(self._fs.size(self.path(receipt.name)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return None  # half a receipt proves nothing: the work is done again and the receipt replaced
        return receipt if size == receipt.n_bytes else None

    @contextlib.contextmanager
    def checkpoint(self, kind: str, key: str, suffix: str, summary: dict[str, Any]) -> Iterator[Draft]:
        """Write a checkpoint's data, then its receipt. `summary` may be filled until the block ends."""
        name = f"{kind}/{key}{suffix}"
        # No fsync: the receipt proves the data by its digest, and what a power failure takes is done again.
        with self.writer(name, durable=False) as stream:
            draft = Draft(stream)
            yield draft
            stream.flush()
            n_bytes = stream.tell()
            stream.seek(0)
            sha256 = stream_digest(stream)
        receipt = Receipt(kind, key, name, n_bytes, sha256, summary)
        text = json.dumps(asdict(receipt), sort_keys=True, indent=1)
        self.write(f"{kind}/{key}.json", text.encode(), durable=False)
        draft.receipt = receipt

    def load(self, receipt: Receipt) -> bytes:
        """A checkpoint's data, small enough to hold.

        Raises:
            DamagedCheckpointError: see `verify`.
        """
        data = self.read(receipt.name)
        self._compare(receipt, hashlib.sha256(data).hexdigest())
        return data

    def verify(self, receipt: Receipt) -> None:
        """Compare a checkpoint's data with its receipt.

        Raises:
            DamagedCheckpointError: the bytes differ; names the file to remove.
        """
        with self.open(receipt.name) as stream:
            self._compare(receipt, stream_digest(stream))

    def _compare(self, receipt: Receipt, found: str) -> None:
        if found != receipt.sha256:
            raise DamagedCheckpointError(
                f"checkpoint {self.shown}/{receipt.name} is damaged (its SHA-256 is not that of its receipt): "
                f"remove it and run the same command again"
            )


def stream_digest(stream: IO[bytes]) -> str:
    """SHA-256 of what a stream still holds, in constant memory."""
    sha256 = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        sha256.update(chunk)
    return sha256.hexdigest()


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
