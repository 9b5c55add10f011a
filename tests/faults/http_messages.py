"""HTTP/1.1 messages on asyncio's streams: heads parsed, bodies passed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

BLOCK_BYTES = 2**16


@dataclass(frozen=True)
class Head:
    """A request's or an answer's first line and headers."""

    raw: bytes
    line: str
    headers: dict[str, str]
    """Values by name in lower case."""

    @property
    def method(self) -> str:
        return self.line.split(" ", 1)[0]

    @property
    def status(self) -> int:
        return int(self.line.split(" ", 2)[1])

    @property
    def keeps_alive(self) -> bool:
        return "HTTP/1.1" in self.line and "close" not in self.headers.get("connection", "").lower()

    @property
    def expects(self) -> bool:
        """Whether the client waits for leave to send the body."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def length(self) -> int | None:
        text = self.headers.get("content-length")
        return None if text is None or self.chunked else int(text)


async def read_head(reader: asyncio.StreamReader) -> Head:
    """The first line and the headers of the message that comes next."""
    raw = await reader.readuntil(b"\r\n\r\n")
    line, *fields = raw[:-4].decode("latin-1").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return Head(raw, line, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def body_of(head: Head, reader: asyncio.StreamReader, method: str | None = None) -> AsyncIterator[bytes]:
    """The bytes of a body as they come, frames of chunks included. `method` is the request's, for an answer."""
    if method is not None and not has_body(head, method):
        return
    if head.chunked:
        async for block in _chunks(reader):
            yield block
    elif head.length is not None or method is None:
        left = head.length or 0
        while left:
            block = await reader.read(min(left, BLOCK_BYTES))
            if not block:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(block)
            yield block
    else:
        while block := await reader.read(BLOCK_BYTES):
            yield block


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        frame = await reader.readuntil(b"\r\n")
        size = int(frame.split(b";")[0], 16)
        if size == 0:
            while not frame.endswith(b"\r\n\r\n"):
                frame += await reader.readuntil(b"\r\n")
            yield frame
            return
        left = size + 2
        while left:
            block = await reader.readexactly(min(left, BLOCK_BYTES))
            left -= len(block)
            yield frame + block
            frame = b""


def has_body(answer: Head, method: str) -> bool:
    """Whether an answer to a request of this method has a body."""
    return method != "HEAD" and answer.status not in (204, 304) and answer.length != 0


def half_of(answer: Head, method: str) -> int | None:
    """After how many bytes to cut an answer's body; None if it has none."""
    if not has_body(answer, method):
        return None
    return 1 if answer.length is None else answer.length // 2


async def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send bytes, and wait while the other side does not take them."""
    writer.write(data)
    await writer.drain()
