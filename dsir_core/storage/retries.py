"""Trying again what fails for a reason that passes: throttling, resets, timeouts, bodies cut short.

This is the only layer that does so: those of s3fs and botocore are switched off, since their counts multiply.
"""

from __future__ import annotations

import asyncio
import contextvars
import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from dsir_core.errors import RequestError

ATTEMPTS = 9
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
TRANSIENT_CODES = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "IncompleteBody"})
"""Error codes of S3; some servers send them with another status."""

TRANSIENT_NAMES = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectTimeout",
        "ConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeout",
        "ResponseParserError",
        "ServerDisconnectedError",
    }
)
"""Exceptions of the client libraries, by name: none of them need be installed."""

NEVER_TRANSIENT = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Whatever else was being handled when they were raised."""

NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
"""Exceptions of botocore, by name."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class ShortBodyError(OSError):
    """Storage has sent fewer bytes than were asked for."""


@dataclass
class Effects:
    """What happened on the way to a result and belongs into the report."""

    retries: int = 0
    """Requests to storage that were made again."""
    warnings: list[str] = field(default_factory=list)


_EFFECTS: contextvars.ContextVar[Effects | None] = contextvars.ContextVar("effects", default=None)


@contextmanager
def collect_effects() -> Iterator[Effects]:
    """Collect the effects of the block, and of threads that it starts in a copy of its context."""
    effects = Effects()
    token = _EFFECTS.set(effects)
    try:
        yield effects
    finally:
        _EFFECTS.reset(token)


def warn(text: str) -> None:
    """Say something that the user must hear and that is no failure."""
    if (effects := _EFFECTS.get()) is not None:
        effects.warnings.append(text)


def with_retries(function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    """Call a function of a remote filesystem, again if it fails for a reason that may pass.

    Waits between attempts grow from 0.1 to 10 seconds, with jitter; after `ATTEMPTS` the last error is raised.

    Raises:
        RequestError: there are no credentials for a bucket; it is named.
    """
    try:
        return _RETRYING(function, *args, **kwargs)
    except Exception as error:
        if type(error).__name__ in NO_CREDENTIALS:
            raise RequestError(_no_credentials(args, error)) from error
        raise


def _no_credentials(args: tuple[Any, ...], error: Exception) -> str:
    # An upload names a local file first; paths in a bucket begin with its name.
    path = next((one for one in args if isinstance(one, str) and not one.startswith("/")), "")
    where = f"bucket {path.split('/', 1)[0]!r}" if path else "object storage"
    return (
        f"{where}: no credentials found ({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile by "
        f"--s3-profile, or read a public bucket with --s3-anonymous"
    )


def is_transient(error: BaseException | None) -> bool:
    """Whether an error may pass: by HTTP status or S3's code where there is one, else by kind."""
    seen = 0
    while error is not None and seen < 10:
        status, code = _status(error)
        if status is not None or code is not None:
            return status in TRANSIENT_STATUS or code in TRANSIENT_CODES
        if isinstance(error, NEVER_TRANSIENT):
            return False
        if _is_of_transient_kind(error):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False


def _status(error: BaseException) -> tuple[int | None, str | None]:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status, response.get("Error", {}).get("Code")
    for name in ("status", "status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value, None
    return None, None


def _is_of_transient_kind(error: BaseException) -> bool:
    kinds = (ShortBodyError, ConnectionError, TimeoutError, asyncio.IncompleteReadError, http.client.HTTPException)
    if isinstance(error, kinds):
        return True
    return any(kind.__name__ in TRANSIENT_NAMES for kind in type(error).__mro__)


def _count(state: RetryCallState) -> None:
    if (effects := _EFFECTS.get()) is not None:
        effects.retries += 1


_RETRYING = Retrying(
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential_jitter(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS, jitter=FIRST_WAIT_SECONDS),
    retry=retry_if_exception(is_transient),
    before_sleep=_count,
    reraise=True,
)
