"""Which failures of storage are tried again, how often, and how long it waits between attempts."""

from __future__ import annotations

import asyncio
import errno
import http.client

import aiohttp
import botocore.exceptions
import pytest
from fsspec.exceptions import FSTimeoutError

from dsir_core.errors import RequestError
from dsir_core.stages.run import way_on
from dsir_core.storage import retries
from dsir_core.storage.retries import ATTEMPTS, LONGEST_WAIT_SECONDS, ShortBodyError, collect_effects, is_transient

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that say `later`, written down here a second time on purpose."""


class WithStatusError(Exception):
    """What a client library raises: the status of the answer is an attribute of some name."""

    def __init__(self, name: str, status: object) -> None:
        super().__init__(f"{name} {status}")
        setattr(self, name, status)


def of_s3(status: int, code: str) -> botocore.exceptions.ClientError:
    answer = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}
    return botocore.exceptions.ClientError(answer, "GetObject")


@pytest.mark.parametrize("status", range(400, 600))
def test_the_status_decides_whichever_library_tells_it(status: int) -> None:
    told = [of_s3(status, "Unknown"), *(WithStatusError(name, status) for name in ("status", "status_code", "code"))]
    assert {is_transient(error) for error in told} == {status in PASSING}


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("SlowDown", True),
        ("RequestTimeout", True),
        ("InternalError", True),
        ("ServiceUnavailable", True),
        ("IncompleteBody", True),
        ("NoSuchKey", False),
        ("AccessDenied", False),
        ("SignatureDoesNotMatch", False),
        ("InvalidRange", False),
        ("EntityTooLarge", False),
    ],
)
def test_the_code_of_s3_decides_under_a_status_that_does_not(code: str, passes: bool) -> None:
    assert is_transient(of_s3(400, code)) is passes


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        BrokenPipeError(errno.EPIPE, "pipe"),
        TimeoutError(),
        ShortBodyError("3 of 5 bytes"),
        asyncio.IncompleteReadError(b"", 5),
        http.client.IncompleteRead(b""),
        http.client.RemoteDisconnected(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        aiohttp.ClientConnectionError(),
        aiohttp.ClientOSError(errno.ECONNRESET, "reset"),
        botocore.exceptions.ConnectTimeoutError(endpoint_url="http://x"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"),
        botocore.exceptions.ConnectionClosedError(endpoint_url="http://x"),
        botocore.exceptions.HTTPClientError(error="x"),
        botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        botocore.exceptions.ResponseStreamingError(error="x"),
        FSTimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_broken_connection_raises_passes(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        FileNotFoundError(),
        PermissionError(),
        FileExistsError(),
        IsADirectoryError(),
        NotADirectoryError(),
        ValueError(),
        KeyError(),
        MemoryError(),
        KeyboardInterrupt(),
        botocore.exceptions.NoCredentialsError(),
        botocore.exceptions.ParamValidationError(report="x"),
        WithStatusError("status", "503"),
        WithStatusError("code", 200),
        WithStatusError("code", 3),
    ],
    ids=lambda error: f"{type(error).__name__} {error}",
)
def test_what_will_fail_again_is_not_tried_again(error: BaseException) -> None:
    assert not is_transient(error)


def raised(error: OSError, while_handling: Exception) -> OSError:
    try:
        try:
            raise while_handling
        except type(while_handling):
            raise error  # noqa: B904
    except OSError as found:
        return found


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, FileExistsError])
def test_what_is_missing_or_forbidden_is_so_whatever_was_being_handled(kind: type[OSError]) -> None:
    assert not is_transient(raised(kind("no"), TimeoutError()))


def test_a_translated_error_is_what_it_was_translated_from() -> None:
    assert is_transient(raised(OSError("storage"), TimeoutError()))
    assert is_transient(raised(OSError("storage"), of_s3(503, "SlowDown")))
    assert not is_transient(raised(OSError("storage"), PermissionError()))
    assert not is_transient(raised(OSError("storage"), of_s3(404, "NoSuchKey")))


def test_errors_that_caused_each_other_in_a_circle_come_to_an_end() -> None:
    one, other = OSError("one"), OSError("other")
    one.__cause__, other.__cause__ = other, one
    assert not is_transient(one)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", found.append)
    return found


class Failing:
    """A function that fails a number of times before it works."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self, *results: str) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return results[0]


def test_it_is_tried_until_it_works_and_each_retry_is_counted(waits: list[float]) -> None:
    function = Failing(TimeoutError(), times=3)
    with collect_effects() as effects:
        assert retries.with_retries(function, "done") == "done"
    assert (function.calls, effects.retries, len(waits)) == (4, 3, 3)


def test_the_last_error_is_raised_as_it_is_after_all_attempts(waits: list[float]) -> None:
    function = Failing(error := of_s3(503, "SlowDown"), times=100)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        retries.with_retries(function, "never")
    assert failure.value is error
    assert (function.calls, len(waits)) == (ATTEMPTS, ATTEMPTS - 1)


def test_waits_grow_to_an_end(waits: list[float]) -> None:
    with pytest.raises(TimeoutError):
        retries.with_retries(Failing(TimeoutError(), times=100), "never")
    for attempt, seconds in enumerate(waits):
        shortest = min(0.1 * 2**attempt, LONGEST_WAIT_SECONDS)
        assert shortest <= seconds <= min(shortest + 0.1, LONGEST_WAIT_SECONDS)


def test_what_will_not_pass_is_raised_at_once(waits: list[float]) -> None:
    function = Failing(PermissionError("no"), times=1)
    with collect_effects() as effects, pytest.raises(PermissionError):
        retries.with_retries(function, "never")
    assert (function.calls, effects.retries, waits) == (1, 0, [])


def test_missing_credentials_name_the_bucket_and_the_way_out() -> None:
    function = Failing(botocore.exceptions.NoCredentialsError(), times=1)
    with pytest.raises(RequestError, match=r"bucket 'corpus': no credentials found.*--s3-profile.*--s3-anonymous"):
        retries.with_retries(function, "corpus/a.jsonl")
    assert function.calls == 1
    function = Failing(botocore.exceptions.NoCredentialsError(), times=1)
    with pytest.raises(RequestError, match=r"bucket 'work': no credentials found"):
        retries.with_retries(function, "/tmp/local", "work/a.npy")


@pytest.mark.parametrize(
    ("errors", "again"),
    [
        ([ConnectionResetError("gone")], True),
        ([PermissionError("no")], False),
        ([OSError(errno.ENOSPC, "full")], False),
        ([PermissionError("no"), TimeoutError("late")], True),
        ([RuntimeError("a worker")], True),
    ],
)
def test_a_cause_that_lasts_is_not_cured_by_the_same_command(errors: list[Exception], again: bool) -> None:
    assert ("run the same command again" in way_on(errors)) == again
