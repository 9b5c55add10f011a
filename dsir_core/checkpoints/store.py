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
import io
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from dsir_core.checkpoints.incoming import locked_file, remove_abandoned
from dsir_core.checkpoints.receipts import Draft, Receipt, sealed, unsealed
from dsir_core.digests import stream_digest
from dsir_core.runtime.cancellation import check_cancelled
from dsir_core.storage.connect import connect
from dsir_core.storage.ranges import RangeReader
from dsir_core.storage.retries import warn, with_retries
from dsir_core.urls import is_local, without_credentials

READ_BYTES = 2**20


@dataclass(frozen=True)
class Entry:
    """A file in a store."""

    name: str
    """Relative to the root."""
    size: int
    modified: float
    """Seconds since 1970; of now where the storage does not tell."""


class Store:
    """Files under one URL, local or on any fsspec filesystem. Instances pickle (workers get them by value)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connect()

    def _connect(self) -> None:
        self._fs, self._root = connect(self.url)
        self._local = is_local(self._fs)
        self.redacted = without_credentials(self.url)

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
        filesystem, path = connect(url)
        root = self._fs._strip_protocol(self._root).rstrip("/")
        return bool(filesystem == self._fs) and path.startswith(f"{root}/")

    def exists(self, name: str) -> bool:
        """Whether a file stands under this name."""
        return bool(with_retries(self._fs.exists, self.path(name)))

    def read(self, name: str) -> bytes:
        """A whole small file.

        Raises:
            FileNotFoundError: there is none.
        """
        return bytes(with_retries(self._fs.cat_file, self.path(name)))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        path = self.path(name)
        if self._local:
            return open(path, "rb")
        reader = RangeReader(self._fs, path, int(with_retries(self._fs.info, path)["size"]))
        return cast(IO[bytes], io.BufferedReader(reader, READ_BYTES))

    def names(self, prefix: str = "") -> list[str]:
        """Sorted names of all files below a folder, relative to the root; [] where there is none."""
        return [entry.name for entry in self.entries(prefix)]

    def entries(self, prefix: str = "") -> list[Entry]:
        """All files below a folder, sorted by name, from one listing; [] where there is none."""
        root = self._fs._strip_protocol(self._root)
        found = with_retries(self._fs.find, f"{self._root}/{prefix}".rstrip("/"), detail=True)
        entries = [
            Entry(path[len(root) :].lstrip("/"), int(info.get("size") or 0), _modified(info))
            for path, info in found.items()
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is removed."""
        with contextlib.suppress(FileNotFoundError):
            with_retries(self._fs.rm_file, self.path(name))

    def move(self, name: str, new: str) -> None:
        """Give a file another name; on object stores a copy there, and then the removal."""
        if self._local:
            os.replace(self.path(name), self.path(new))
            return
        with_retries(self._fs.cp_file, self.path(name), self.path(new))
        self.remove(name)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder, where folders are more than parts of names."""
        if self._local:
            os.rmdir(self.path(name))

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
        handle, temporary = locked_file(folder)
        try:
            with os.fdopen(handle, "w+b") as stream:
                yield stream
                check_cancelled()  # what nobody waits for must not appear when the run is over
                stream.flush()
                if self._local:
                    if durable:
                        os.fsync(stream.fileno())
                    os.chmod(temporary, 0o666 & ~_umask())
                    os.replace(temporary, self.path(name))
                else:
                    with_retries(self._fs.put_file, temporary, self.path(name))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def remove_abandoned(self) -> None:
        """Remove what killed writes have left: directly below a local root, else in the temporary directory."""
        remove_abandoned(Path(self._root if self._local else tempfile.gettempdir()))

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a whole small file, complete or not at all."""
        if not self._local:
            with_retries(self._fs.pipe_file, self.path(name), data)
            return
        with self.writer(name, durable=durable) as stream:
            stream.write(data)

    def receipt(self, kind: str, key: str) -> Receipt | None:
        """The receipt of a complete checkpoint whose data is there at its full size, or None."""
        name = f"{kind}/{key}.json"
        try:
            text = self.read(name)
        except FileNotFoundError:
            return None
        receipt = unsealed(text)
        if receipt is None or (receipt.kind, receipt.key) != (kind, key):
            warn(f"receipt {self.redacted}/{name} is damaged: its shard is done again")
            return None
        try:
            size = int(with_retries(self._fs.info, self.path(receipt.name))["size"])
        except FileNotFoundError:
            size = -1
        if size != receipt.n_bytes:
            what = "gone" if size < 0 else f"{size:,} bytes instead of {receipt.n_bytes:,}"
            warn(f"checkpoint {self.redacted}/{receipt.name} is damaged ({what}): done again")
            return None
        return receipt

    @contextlib.contextmanager
    def checkpoint(self, kind: str, key: str, suffix: str, summary: dict[str, Any]) -> Iterator[Draft]:
        """Write a checkpoint's data, then its receipt. `summary` may be filled until the block ends."""
        name = f"{kind}/{key}{suffix}"
        # No fsync: the receipt proves the data by its digest, and what a power failure takes is done again.
        with self.writer(name, durable=False) as stream:
            draft = Draft(stream, summary)
            yield draft
            n_bytes = stream.tell()
            stream.seek(0)
            sha256 = stream_digest(stream)
        receipt = Receipt(kind, key, name, n_bytes, sha256, summary)
        self.write(f"{kind}/{key}.json", sealed(receipt), durable=False)
        draft.receipt = receipt

    def intact(self, kind: str, key: str) -> Receipt | None:
        """The receipt of a checkpoint whose data is what was written; None, with a warning, where it is damaged."""
        receipt = self.receipt(kind, key)
        if receipt is None:
            return None
        with self.open(receipt.name) as stream:
            return receipt if self._agrees(receipt, stream_digest(stream)) else None

    def load(self, kind: str, key: str) -> tuple[Receipt, bytes] | None:
        """A checkpoint's receipt and data, small enough to hold; None, with a warning, where it is damaged."""
        receipt = self.receipt(kind, key)
        if receipt is None:
            return None
        data = self.read(receipt.name)
        return (receipt, data) if self._agrees(receipt, hashlib.sha256(data).hexdigest()) else None

    def _agrees(self, receipt: Receipt, found: str) -> bool:
        if found == receipt.sha256:
            return True
        warn(
            f"checkpoint {self.redacted}/{receipt.name} is damaged (its SHA-256 is not that of its receipt): done again"
        )
        return False


def _modified(info: dict[str, Any]) -> float:
    when = next((info[key] for key in ("mtime", "LastModified", "last_modified", "created") if info.get(key)), None)
    if isinstance(when, int | float):
        return float(when)
    return when.timestamp() if isinstance(when, datetime) else time.time()


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
