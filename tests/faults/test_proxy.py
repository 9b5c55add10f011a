"""The fault proxy before a real S3 server: unseen while no rule fires, and each fault as a client meets it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import random
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import s3fs
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from fsspec.asyn import get_loop, sync

from tests.faults.proxy import Mode, Proxy, Rule, fault_proxy
from tests.s3 import REGION, S3Server, s3_server

pytestmark = pytest.mark.server

BUCKET = "bucket"
SESSION = get_session()
DATA = random.Random(7).randbytes(200_000)
# aiohttp's own errors where a release of aiobotocore does not wrap them.
BROKEN_BODY = (aiohttp.ClientError, ResponseStreamingError)
# aiobotocore calls a reset connection one that could not be made.
BROKEN_CONNECTION = (ConnectionClosedError, EndpointConnectionError)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        filesystem(running).mkdir(BUCKET)
        yield running


def filesystem(server: S3Server, endpoint: str | None = None) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(**server.storage_options(endpoint), skip_instance_cache=True, use_listings_cache=False)


def call(server: S3Server, proxy: Proxy, work: Callable[[Any], Awaitable[Any]], *, read_timeout: float = 20.0) -> Any:
    """What one request through the proxy gives, without any retry."""

    async def run() -> Any:
        config = AioConfig(
            retries={"total_max_attempts": 1}, read_timeout=read_timeout, s3={"addressing_style": "path"}
        )
        async with SESSION.create_client(
            "s3",
            region_name=REGION,
            endpoint_url=proxy.endpoint,
            aws_access_key_id=server.key,
            aws_secret_access_key=server.secret,
            config=config,
        ) as client:
            return await work(client)

    # In s3fs's own loop: s3fs closes a dropped filesystem's connections in whichever loop runs then.
    return sync(get_loop(), run)


def put(key: str, data: bytes | io.BytesIO = DATA) -> Callable[[Any], Awaitable[Any]]:
    return lambda client: client.put_object(Bucket=BUCKET, Key=key, Body=data)


def get(key: str) -> Callable[[Any], Awaitable[bytes]]:
    async def work(client: Any) -> bytes:
        answer = await client.get_object(Bucket=BUCKET, Key=key)
        async with answer["Body"] as body:
            return await body.read()

    return work


def status(error: ClientError) -> tuple[int, str]:
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def test_a_hundred_objects_pass_unchanged(server: S3Server) -> None:
    draw = random.Random(1)
    objects = {f"{BUCKET}/many/{n:03} ü+%.bin": draw.randbytes(draw.choice([0, 1, 1000, 70_000])) for n in range(100)}
    with fault_proxy(server.endpoint, [], 0) as proxy:
        through = filesystem(server, proxy.endpoint)
        through.pipe(objects)
        assert through.cat(list(objects)) == objects
        assert through.find(f"{BUCKET}/many") == sorted(objects)
        assert {path: info["size"] for path, info in through.find(f"{BUCKET}/many", detail=True).items()} == {
            path: len(data) for path, data in objects.items()
        }
        assert proxy.requests >= 200
    assert not proxy.counts
    assert filesystem(server).cat(list(objects)) == objects


def test_a_multipart_upload_passes_unchanged(server: S3Server) -> None:
    data = random.Random(2).randbytes(12 * 2**20)
    with fault_proxy(server.endpoint, [], 0) as proxy:
        through = filesystem(server, proxy.endpoint)
        through.pipe_file(f"{BUCKET}/large", data, chunksize=5 * 2**20)
        assert "-3" in through.info(f"{BUCKET}/large")["ETag"]
        assert hashlib.sha256(through.cat_file(f"{BUCKET}/large")).digest() == hashlib.sha256(data).digest()
        assert through.cat_file(f"{BUCKET}/large", start=6_000_000, end=6_000_100) == data[6_000_000:6_000_100]
    assert filesystem(server).cat_file(f"{BUCKET}/large") == data


def test_a_file_whose_client_waits_for_leave_to_send_passes_unchanged(server: S3Server) -> None:
    async def upload(client: Any) -> str:
        sent = {}
        client.meta.events.register("before-send.s3", lambda request, **_: sent.update(request.headers.items()))
        await put("file", io.BytesIO(DATA))(client)
        return sent["Expect"].decode()

    with fault_proxy(server.endpoint) as proxy:
        assert call(server, proxy, upload) == "100-continue"
        assert call(server, proxy, get("file")) == DATA


@pytest.mark.parametrize("size", [65_536, 70_000, 200_000])
def test_chunks_of_http_and_chunks_of_aws_pass_unchanged(server: S3Server, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(DATA), size):
            piece = DATA[start : start + size]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        checksum = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big"))
        yield b"0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % checksum

    with fault_proxy(server.endpoint) as proxy:
        headers = {
            "Content-Encoding": "aws-chunked",
            "X-Amz-Decoded-Content-Length": str(len(DATA)),
            "X-Amz-Trailer": "x-amz-checksum-crc32",
        }
        request = AWSRequest("PUT", f"{proxy.endpoint}/{BUCKET}/chunks", headers)
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
        S3SigV4Auth(Credentials(server.key, server.secret), "s3", REGION).add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc)
        connection.request(
            "PUT",
            f"/{BUCKET}/chunks",
            pieces(),
            {**request.headers, "Transfer-Encoding": "chunked"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        connection.close()
        assert call(server, proxy, get("chunks")) == DATA


def test_many_requests_share_a_connection_and_chunked_bodies_pass(server: S3Server) -> None:
    with fault_proxy(server.endpoint) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc)
        connection.connect()
        first = connection.sock
        for _ in range(3):
            connection.request("PUT", f"/{BUCKET}/unsigned", iter([b"a" * 1000, b"b"]), encode_chunked=True)
            answer = connection.getresponse()
            assert (answer.status, b"<Code>AccessDenied</Code>" in answer.read()) == (403, True)
            connection.request("HEAD", f"/{BUCKET}/unsigned")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (403, b"")
        assert connection.sock is first
        connection.close()
    assert proxy.requests == 6


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("slow_down", (503, "SlowDown")), ("error", (500, "InternalError")), ("throttled", (429, "TooManyRequests"))],
)
def test_an_error_answer_reaches_the_client_and_the_request_not_the_server(
    server: S3Server, mode: Mode, expected: tuple[int, str]
) -> None:
    with fault_proxy(server.endpoint, [Rule(mode, count=3)], 0) as proxy:
        for data in (DATA, io.BytesIO(DATA)):
            with pytest.raises(ClientError) as caught:
                call(server, proxy, put(mode, data))
            assert status(caught.value) == expected
        with pytest.raises(ClientError) as caught:
            call(server, proxy, lambda client: client.head_object(Bucket=BUCKET, Key=mode))
        assert status(caught.value)[0] == expected[0]
        assert not filesystem(server).exists(f"{BUCKET}/{mode}")
        call(server, proxy, put(mode))
    assert proxy.counts == {mode: 3}
    assert proxy.requests == 4
    assert filesystem(server).cat_file(f"{BUCKET}/{mode}") == DATA


@pytest.mark.parametrize("mode", ["reset", "truncate"])
def test_a_body_breaks_off(server: S3Server, mode: Mode) -> None:
    filesystem(server).pipe_file(f"{BUCKET}/{mode}", DATA)
    with fault_proxy(server.endpoint, [Rule(mode, count=1)], 0) as proxy:
        call(server, proxy, lambda client: client.head_object(Bucket=BUCKET, Key=mode))
        call(server, proxy, put(f"{mode}-without-body"))
        assert not proxy.counts
        with pytest.raises(BROKEN_BODY):
            call(server, proxy, get(mode))
        assert call(server, proxy, get(mode)) == DATA
    assert proxy.counts == {mode: 1}


@pytest.mark.parametrize(("mode", "error"), [("reset", ConnectionResetError), ("truncate", http.client.IncompleteRead)])
def test_a_broken_body_has_its_full_length_in_its_head(server: S3Server, mode: Mode, error: type[Exception]) -> None:
    stored = filesystem(server)
    stored.pipe_file(f"{BUCKET}/{mode}", DATA)
    url = urlsplit(stored.sign(f"{BUCKET}/{mode}"))
    with fault_proxy(server.endpoint, [Rule(mode)], 0) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc)
        connection.request("GET", f"{url.path}?{url.query}", headers={"Host": url.netloc})
        answer = connection.getresponse()
        assert answer.length == len(DATA)
        with pytest.raises(error) as caught:
            answer.read()
        connection.close()
    if isinstance(caught.value, http.client.IncompleteRead):
        assert caught.value.partial == DATA[: len(DATA) // 2]


def test_an_answer_is_held_back(server: S3Server) -> None:
    filesystem(server).pipe_file(f"{BUCKET}/stall", DATA)
    with fault_proxy(server.endpoint, [Rule("stall", count=2, seconds=1.5)], 0) as proxy:
        with pytest.raises(ReadTimeoutError):
            call(server, proxy, get("stall"), read_timeout=0.5)
        begun = time.monotonic()
        assert call(server, proxy, get("stall")) == DATA
        assert time.monotonic() - begun >= 1.5
    assert proxy.counts == {"stall": 2}


def test_a_rejected_put_is_not_done(server: S3Server) -> None:
    with fault_proxy(server.endpoint, [Rule("reject_put")], 0) as proxy:
        for data in (DATA, io.BytesIO(DATA)):
            with pytest.raises(ClientError) as caught:
                call(server, proxy, put("rejected", data))
            assert status(caught.value) == (503, "ServiceUnavailable")
        with pytest.raises(ClientError) as caught:
            call(server, proxy, get("rejected"))
        assert status(caught.value) == (404, "NoSuchKey")
    assert proxy.counts == {"reject_put": 2}


def test_a_put_with_a_lost_answer_is_done(server: S3Server) -> None:
    with fault_proxy(server.endpoint, [Rule("lost_ack")], 0) as proxy:
        with pytest.raises(BROKEN_CONNECTION):
            call(server, proxy, put("lost"))
        assert call(server, proxy, get("lost")) == DATA
    # Below botocore's retries, aiohttp repeats a PUT whose connection broke.
    assert proxy.counts == {"lost_ack": proxy.requests - 1}


def test_a_pattern_picks_requests_and_the_seed_decides(server: S3Server) -> None:
    async def failed(client: Any) -> list[int]:
        found = []
        for number in range(20):
            await put(f"other/{number}", b"x")(client)
            try:
                await put(f"picked/{number}", b"x")(client)
            except ClientError:
                found.append(number)
        return found

    rules = [Rule("error", 0.5, pattern="^PUT /bucket/picked/"), Rule("error", pattern="^DELETE")]
    draw = random.Random(3)
    expected = [number for number in range(20) if draw.random() < 0.5]
    for _ in range(2):
        with fault_proxy(server.endpoint, rules, seed=3) as proxy:
            assert call(server, proxy, failed) == expected
            assert proxy.counts == {"error": len(expected)}


def test_s3fs_lives_through_a_mixture(server: S3Server) -> None:
    objects = {f"{BUCKET}/mixture/{number}": DATA[number:] for number in range(30)}
    rules = [Rule(mode, 0.2, count=3) for mode in ("slow_down", "reject_put", "lost_ack", "error")]
    with fault_proxy(server.endpoint, rules, 5) as proxy:
        through = filesystem(server, proxy.endpoint)
        through.pipe(objects)
        assert through.cat(list(objects)) == objects
    assert set(proxy.counts) == {"slow_down", "reject_put", "lost_ack", "error"}


def test_a_restarted_server_keeps_ports_and_data_and_is_reached_through_the_same_proxy(server: S3Server) -> None:
    endpoint, stored = server.endpoint, filesystem(server)
    stored.pipe_file(f"{BUCKET}/kept", DATA)
    with fault_proxy(server.endpoint) as proxy:
        for kill in (False, True):
            first = server.pid
            server.stop(kill=kill)
            with pytest.raises(BROKEN_CONNECTION):
                call(server, proxy, get("kept"))
            server.start()
            assert (server.endpoint, server.pid != first) == (endpoint, True)
            assert call(server, proxy, get("kept")) == DATA
            call(server, proxy, put("kept-too"))


def test_a_request_survives_a_server_that_comes_back(server: S3Server) -> None:
    stored = filesystem(server)
    stored.pipe_file(f"{BUCKET}/back", DATA)
    server.stop(kill=True)
    starting = threading.Timer(0.3, server.start)
    starting.start()
    try:
        assert stored.cat_file(f"{BUCKET}/back") == DATA
    finally:
        starting.join()


def test_servers_run_side_by_side(server: S3Server, tmp_path: Any) -> None:
    with s3_server(tmp_path) as other:
        assert other.endpoint != server.endpoint
        stored = filesystem(other)
        assert stored.ls("") == []
        stored.mkdir("elsewhere")
        stored.pipe_file("elsewhere/one", DATA)
        assert stored.cat_file("elsewhere/one") == DATA
        assert not filesystem(server).exists("elsewhere")
        with pytest.raises(PermissionError):
            filesystem(server, other.endpoint).ls("elsewhere")
