"""Faults between an S3 client and a real server: an HTTP/1.1 proxy in a thread of the test's process.

Headers and bodies pass unchanged, `Host` too, so signatures hold. A client's connection is kept alive; each of its
requests has a connection of its own to the server, so a restarted server is reached without ado.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

Mode = Literal["slow_down", "error", "throttled", "reset", "truncate", "stall", "reject_put", "lost_ack"]

BLOCK_BYTES = 2**16
HEAD_BYTES = 2**18
ANSWERS = {
    "slow_down": (503, "Service Unavailable", "SlowDown", "Please reduce your request rate."),
    "error": (500, "Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    "throttled": (429, "Too Many Requests", "TooManyRequests", "Too many requests."),
    "reject_put": (503, "Service Unavailable", "ServiceUnavailable", "Please try again."),
}
ONLY_PUT = {"reject_put", "lost_ack"}
ONLY_WITH_BODY = {"reset", "truncate"}


@dataclass(frozen=True)
class Rule:
    """A fault, and the requests it happens to."""

    mode: Mode
    """What happens:

    - slow_down, error, throttled: 503 SlowDown, 500 or 429; the server does not see the request.
    - reset: the connection is reset in the middle of the answer's body.
    - truncate: the answer's body ends halfway under its full Content-Length, then the connection is closed.
    - stall: the answer is held back for `seconds`.
    - reject_put: a PUT's body is read, then 503; the server does not see the request.
    - lost_ack: the server does a PUT, then the connection is reset in place of its answer.
    """
    probability: float = 1.0
    count: int | None = None
    """How often at most; None for no limit."""
    pattern: str = ""
    """Searched for in the request line, like `GET /bucket/key?versionId=1 HTTP/1.1`."""
    seconds: float = 1.0
    """How long a stall lasts."""

    def __post_init__(self) -> None:
        assert self.mode in get_args(Mode), self.mode

    def covers(self, head: _Head) -> bool:
        """Whether the fault can happen to this request."""
        if self.mode in ONLY_PUT and head.method != "PUT":
            return False
        if self.mode in ONLY_WITH_BODY and head.method == "HEAD":
            return False
        return re.search(self.pattern, head.line) is not None


class _Armed:
    """A rule in use."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.left = math.inf if rule.count is None else rule.count


class Proxy:
    """A running proxy. The first rule that is drawn decides about a request."""

    def __init__(self, upstream_endpoint: str, rules: Sequence[Rule], seed: int) -> None:
        self.endpoint = ""
        self.counts: Counter[str] = Counter()
        """Faults that happened, by mode."""
        self.requests = 0
        self.failures: list[Exception] = []
        """What the proxy itself could not do."""
        address = urlsplit(upstream_endpoint)
        self._upstream = (address.hostname, address.port)
        self.set_rules(rules)
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Use other rules from the next request on; their counts begin anew."""
        self._armed = tuple(_Armed(rule) for rule in rules)

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._thread.start()
        self._listening.wait()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        # A plain function: Python 3.11 logs an error for each coroutine of a server that is cancelled.
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._client(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD_BYTES)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listening.set()
        await self._stopping.wait()
        server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # either side has left: so does the proxy
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection lives on."""
        head = await _read_head(reader)
        self.requests += 1
        drawn = self._draw(head)
        rule = drawn.rule if drawn is not None else None
        if rule is not None and rule.mode in ANSWERS:
            self.counts[rule.mode] += 1
            return await _answer(rule.mode, head, reader, writer)
        up_reader, up_writer = await asyncio.open_connection(*self._upstream, limit=HEAD_BYTES)
        sending = asyncio.create_task(_send(head, reader, up_writer))
        try:
            answer = await _first_answer(head, sending, up_reader, writer)
            if rule is not None and rule.mode == "lost_ack":
                async for _ in _body(answer, up_reader, head.method):
                    pass
                self.counts[rule.mode] += 1
                _reset(writer)
                return False
            if rule is not None and rule.mode == "stall":
                self.counts[rule.mode] += 1
                await asyncio.sleep(rule.seconds)
            limit = None
            if drawn is not None and rule is not None and rule.mode in ONLY_WITH_BODY:
                limit = _half(answer, head.method)
                if limit is None:
                    drawn.left += 1
            await _write(writer, answer.raw)
            async for block in _body(answer, up_reader, head.method):
                if rule is not None and limit is not None and len(block) >= limit:
                    await _write(writer, block[:limit])
                    self.counts[rule.mode] += 1
                    if rule.mode == "reset":
                        _reset(writer)
                    return False
                await _write(writer, block)
                limit = None if limit is None else limit - len(block)
            if not head.expects or answer.status < 300:  # else the client may never send the body
                await asyncio.wait({sending}, timeout=1)
            return sending.done() and sending.result() and head.keeps_alive and answer.keeps_alive
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                await sending
            up_writer.close()

    def _draw(self, head: _Head) -> _Armed | None:
        """The rule that decides about a request."""
        for armed in self._armed:
            if armed.left and armed.rule.covers(head) and self._random.random() < armed.rule.probability:
                armed.left -= 1
                return armed
        return None


@contextlib.contextmanager
def fault_proxy(upstream_endpoint: str, rules: Sequence[Rule] = (), seed: int = 0) -> Iterator[Proxy]:
    """A proxy before the server at `upstream_endpoint`.

    Faults are drawn from `random.Random(seed)` in the order in which requests arrive, by the first rule that covers
    the request, then the next. A reset or truncation of an answer without a body is not counted and does not happen.

    Raises:
        ExceptionGroup: at the end, if the proxy failed at something other than a lost connection.
    """
    proxy = Proxy(upstream_endpoint, rules, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
    if proxy.failures:
        raise ExceptionGroup("the fault proxy failed", proxy.failures)


@dataclass(frozen=True)
class _Head:
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


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    line, *fields = raw[:-4].decode("latin-1").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return _Head(raw, line, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def _body(head: _Head, reader: asyncio.StreamReader, method: str | None = None) -> AsyncIterator[bytes]:
    """The bytes of a body as they come, frames of chunks included. `method` is the request's, for an answer."""
    if method is not None and not _has_body(head, method):
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


def _has_body(answer: _Head, method: str) -> bool:
    return method != "HEAD" and answer.status not in (204, 304) and answer.length != 0


def _half(answer: _Head, method: str) -> int | None:
    """After how many bytes to cut an answer's body; None if it has none."""
    if not _has_body(answer, method):
        return None
    return 1 if answer.length is None else answer.length // 2


async def _send(head: _Head, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter) -> bool:
    """Pass a request on; False if the server would not have all of it."""
    blocks = _body(head, reader)
    block = head.raw
    while True:
        try:
            await _write(up_writer, block)
        except ConnectionError:
            return False
        try:
            block = await anext(blocks)
        except StopAsyncIteration:
            return True


async def _first_answer(
    head: _Head, sending: asyncio.Task[bool], up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> _Head:
    """The head of the final answer, which may come before the request's end; interim answers are passed on."""
    while True:
        reading = asyncio.create_task(_read_head(up_reader))
        try:
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                sending.result()
            answer = await reading
        finally:
            reading.cancel()
        if answer.status >= 200:
            return answer
        await _write(writer, answer.raw)


async def _answer(mode: str, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer in the server's place; whether the connection lives on."""
    unread = head.expects and mode != "reject_put"
    if not unread:
        if head.expects:
            await _write(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        async for _ in _body(head, reader):
            pass
    status, reason, code, message = ANSWERS[mode]
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    stays = head.keeps_alive and not unread
    fields = [
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/xml",
        f"Content-Length: {len(xml)}",
        f"Connection: {'keep-alive' if stays else 'close'}",
    ]
    text = "\r\n".join(fields) + "\r\n\r\n" + ("" if head.method == "HEAD" else xml)
    await _write(writer, text.encode())
    return stays


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
