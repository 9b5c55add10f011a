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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from tests.faults.http_messages import Head, body_of, half_of, read_head, write

Mode = Literal["slow_down", "error", "throttled", "reset", "truncate", "stall", "reject_put", "lost_ack"]

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

    def covers(self, head: Head) -> bool:
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
        head = await read_head(reader)
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
                async for _ in body_of(answer, up_reader, head.method):
                    pass
                self.counts[rule.mode] += 1
                _reset(writer)
                return False
            if rule is not None and rule.mode == "stall":
                self.counts[rule.mode] += 1
                await asyncio.sleep(rule.seconds)
            limit = None
            if drawn is not None and rule is not None and rule.mode in ONLY_WITH_BODY:
                limit = half_of(answer, head.method)
                if limit is None:
                    drawn.left += 1
            await write(writer, answer.raw)
            async for block in body_of(answer, up_reader, head.method):
                if rule is not None and limit is not None and len(block) >= limit:
                    await write(writer, block[:limit])
                    self.counts[rule.mode] += 1
                    if rule.mode == "reset":
                        _reset(writer)
                    return False
                await write(writer, block)
                limit = None if limit is None else limit - len(block)
            if not head.expects or answer.status < 300:  # else the client may never send the body
                await asyncio.wait({sending}, timeout=1)
            return sending.done() and sending.result() and head.keeps_alive and answer.keeps_alive
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                await sending
            up_writer.close()

    def _draw(self, head: Head) -> _Armed | None:
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


async def _send(head: Head, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter) -> bool:
    """Pass a request on; False if the server would not have all of it."""
    blocks = body_of(head, reader)
    block = head.raw
    while True:
        try:
            await write(up_writer, block)
        except ConnectionError:
            return False
        try:
            block = await anext(blocks)
        except StopAsyncIteration:
            return True


async def _first_answer(
    head: Head, sending: asyncio.Task[bool], up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Head:
    """The head of the final answer, which may come before the request's end; interim answers are passed on."""
    while True:
        reading = asyncio.create_task(read_head(up_reader))
        try:
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                sending.result()
            answer = await reading
        finally:
            reading.cancel()
        if answer.status >= 200:
            return answer
        await write(writer, answer.raw)


async def _answer(mode: str, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer in the server's place; whether the connection lives on."""
    unread = head.expects and mode != "reject_put"
    if not unread:
        if head.expects:
            await write(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        async for _ in body_of(head, reader):
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
    await write(writer, text.encode())
    return stays


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
