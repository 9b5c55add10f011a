"""Clusters that the tests of tasks/ share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client

from tasks.cluster import local_cluster


@pytest.fixture(scope="session")
def threads() -> Iterator[Client]:
    """Two workers that are threads of this process."""
    with local_cluster(2, processes=False) as client:
        yield client


@pytest.fixture(scope="session")
def shared_processes() -> Iterator[Client]:
    with local_cluster(2) as client:
        yield client


@pytest.fixture
def processes(shared_processes: Client) -> Client:
    """Two workers that are processes; both are there, whatever the test before has done to them."""
    shared_processes.wait_for_workers(2, timeout=60)
    return shared_processes
