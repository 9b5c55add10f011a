"""From a URL to its filesystem, with the run's storage settings."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RequestError
from dsir_core.urls import without_credentials

S3_PROTOCOLS = ("s3", "s3a")
CONNECT_TIMEOUT_SECONDS = 15
READ_TIMEOUT_SECONDS = 60

_SETTINGS: contextvars.ContextVar[StorageSettings] = contextvars.ContextVar("storage")


@contextmanager
def storage_settings(settings: StorageSettings) -> Iterator[None]:
    """Connect with these settings inside the block."""
    token = _SETTINGS.set(settings)
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def connect(url: str, *, listing: bool = False) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path on it.

    Args:
        listing: whether it may remember what it has listed: a glob looks twice at the same pages.

    Raises:
        RequestError: no such kind of filesystem, or its package is not installed (named), or credentials in an S3 URL.
    """
    if _is_s3(url) and "@" in url.partition("://")[2].partition("/")[0]:
        # They would be taken for a part of the bucket's name, and be told in every error.
        raise RequestError(
            f"{without_credentials(url)}: S3 URLs hold no credentials: use --s3-profile, or the environment "
            f"(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    if "://" not in url:  # a local name may hold what chains URLs
        return LocalFileSystem(), LocalFileSystem._strip_protocol(url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **_options(url, listing=listing))
    except (ImportError, ValueError) as error:
        raise RequestError(f"{without_credentials(url)}: {error}") from None
    if _is_s3(url):
        filesystem.retries = 1  # `retries.with_retries` is the one layer that tries again
    return filesystem, path


def _is_s3(url: str) -> bool:
    return url.partition("://")[0] in S3_PROTOCOLS


def _options(url: str, *, listing: bool) -> dict[str, Any]:
    if not _is_s3(url):
        return {}
    settings = _SETTINGS.get(StorageSettings())
    timeouts = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "read_timeout": READ_TIMEOUT_SECONDS}
    options: dict[str, Any] = {
        "config_kwargs": {**timeouts, "retries": {"mode": "standard", "total_max_attempts": 1}},
        # A listing of before would hide what other workers have written since.
        "use_listings_cache": listing,
        # Else it asks for the size of every object before it reads it.
        "max_concurrency": 1,
        "anon": settings.s3_anonymous,
    }
    if settings.s3_endpoint:
        options["endpoint_url"] = settings.s3_endpoint
    if settings.s3_profile:
        options["profile"] = settings.s3_profile
    if settings.s3_region:
        options["client_kwargs"] = {"region_name": settings.s3_region}
    return options
