"""Reading an object by ranges: each tried again by itself, the next fetched while this one is worked on."""

from __future__ import annotations

import contextvars
import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dsir_core.storage.retries import ShortBodyError, with_retries

BLOCK_BYTES = 8 * 2**20
AHEAD = 2
"""Blocks fetched beyond the one that is read: network and kernel work at the same time."""

_POOL = ThreadPoolExecutor(max_workers=16, thread_name_prefix="read-ahead")


class RangeReader(io.RawIOBase):
    """An object as a seekable file.

    Args:
        filesystem, path: of fsspec.
        size: of the object, in bytes.
    """

    def __init__(self, filesystem: Any, path: str, size: int) -> None:
        self._filesystem, self._path, self._size = filesystem, path, size
        self._until = 0
        self._position = 0
        self._block, self._block_start = b"", 0
        self._next: deque[tuple[int, Future[bytes]]] = deque()

    def fetch_ahead(self, until: int) -> None:
        """Fetch blocks ahead of the reader, up to a position; before this, just what is read."""
        self._until = min(until, self._size)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """See io.RawIOBase."""
        self._position = max(0, offset + {0: 0, 1: self._position, 2: self._size}[whence])
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the object."""
        rest = max(0, self._size - self._position)
        wanted = rest if size is None or size < 0 else min(size, rest)
        found: list[bytes] = []
        while wanted:
            data = self._some(wanted)
            found.append(data)
            wanted -= len(data)
            self._position += len(data)
        return found[0] if len(found) == 1 else b"".join(found)

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Forget what was fetched ahead."""
        for _, future in self._next:
            future.cancel()
        self._next.clear()
        self._block = b""
        super().close()

    def _some(self, wanted: int) -> bytes:
        """At least one and at most `wanted` bytes from the position on."""
        at = self._position - self._block_start
        if not 0 <= at < len(self._block):
            if self._position >= self._until:
                return self._fetch(self._position, self._position + wanted)
            self._go_on()
            at = self._position - self._block_start
        return self._block[at : at + wanted]

    def _go_on(self) -> None:
        """Make the block at the position the current one, and ask for those behind it."""
        if not self._next or self._next[0][0] != self._position:
            for _, future in self._next:
                future.cancel()
            self._next.clear()
            self._ask(self._position)
        start, future = self._next.popleft()
        last = self._next[-1][0] if self._next else start
        while len(self._next) < AHEAD and last + BLOCK_BYTES < self._until:
            last += BLOCK_BYTES
            self._ask(last)
        self._block_start, self._block = start, future.result()

    def _ask(self, start: int) -> None:
        context = contextvars.copy_context()
        stop = min(start + BLOCK_BYTES, self._until)
        self._next.append((start, _POOL.submit(context.run, self._fetch, start, stop)))

    def _fetch(self, start: int, stop: int) -> bytes:
        return with_retries(self._fetch_once, start, stop)

    def _fetch_once(self, start: int, stop: int) -> bytes:
        data = bytes(self._filesystem.cat_file(self._path, start=start, end=stop))
        if len(data) != stop - start:
            raise ShortBodyError(f"{len(data):,} of {stop - start:,} bytes at {start:,} came")
        return data
