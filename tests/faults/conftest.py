"""The corpus of the integration tests, and the demo corpus on an S3 server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.harness import Lake, credentials, fill
from tests.integration.conftest import pool
from tests.s3 import s3_server

__all__ = ["lake", "pool"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The demo corpus on a server of its own, whose credentials are in the environment."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server, credentials(server):
        yield fill(server)
