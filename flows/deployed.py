"""What a flow run needs that no command has prepared: its turn at the workdir, its cluster, its log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.variables import Variable

from dsir_core.runtime.events import Event, Note, Observer, ShardFailed, StageBegins, StageEnds
from dsir_core.urls import without_credentials
from tasks.cluster_settings import HERE, Cluster, parse_cluster

CLUSTER_VARIABLE = "dsir_cluster"
"""Prefect variable with the value of the key `cluster`, for runs that name none."""

LEASE_SECONDS = 60.0
"""How long a run that died without a word keeps others from its workdir; Prefect takes no less."""


@contextmanager
def turn_at(workdir: str) -> Iterator[None]:
    """Wait until no other deployed run is at this workdir, and keep others waiting inside the block.

    Two runs at one workdir do each other no harm, but each would do the work of the other. The limit is a global one
    of Prefect's, one for each workdir; whoever raises it lets more runs in.
    """
    name = f"dsir-workdir-{_name_of(workdir)}"
    logger = get_run_logger()
    with get_client(sync_client=True) as client:
        if _make_limit(client, name):
            logger.info("waiting for another run at the workdir %s (limit %s)", without_credentials(workdir), name)
    # A server that restarts forgets leases; that is no reason to end a run.
    with concurrency(name, lease_duration=LEASE_SECONDS, strict=True, raise_on_lease_renewal_failure=False):
        yield


def cluster_setting() -> Cluster:
    """The cluster in Prefect's variable, or the one on this machine.

    Raises:
        RequestError: the variable holds something else.
    """
    value = Variable.get(CLUSTER_VARIABLE, default=None)
    return HERE if value is None else parse_cluster(value)


def log_events() -> Observer:
    """An observer that tells the flow run's log when stages begin and end, and what went wrong."""
    logger = get_run_logger()

    def observe(event: Event) -> None:
        if isinstance(event, StageBegins):
            logger.info("%s: %s shards, %.1f MB", event.stage, f"{event.shards:,}", event.n_bytes / 1e6)
        elif isinstance(event, StageEnds):
            logger.info("%s: done in %.1f s, %s reused", event.stage, event.seconds, f"{event.reused:,}")
        elif isinstance(event, ShardFailed):
            logger.warning("%s: %s failed: %s", event.stage, event.shard, event.reason)
        elif isinstance(event, Note):
            logger.warning("%s", event.text)

    return observe


def _name_of(workdir: str) -> str:
    place = without_credentials(workdir) if "://" in workdir else str(Path(workdir).resolve())
    return hashlib.sha256(place.rstrip("/").encode()).hexdigest()[:16]


def _make_limit(client: SyncPrefectClient, name: str) -> bool:
    """Whether the limit is there already, and taken; it is made where it is not."""
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:
            return True
        return False
    return found.active_slots >= found.limit
