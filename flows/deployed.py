"""What a flow run needs that no command has prepared: its turn at the workdir, its cluster, its retries."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import FlowRunPolicy
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.variables import Variable

from dsir_core.errors import ClusterLostError
from dsir_core.stages.run import StageFailedError
from dsir_core.urls import without_credentials
from tasks.cluster_settings import HERE, Cluster, parse_cluster

CLUSTER_VARIABLE = "dsir_cluster"
"""Prefect variable with the value of the key `cluster`, for runs that name none."""

LEASE_SECONDS = 60.0
"""How long a run that died without a word keeps others from its workdir; Prefect takes no less."""


RETRY_SECONDS = (60, 300, 900)
"""When a flow run that failed for a reason that may pass is entered again: storage that was away for minutes, or a
scheduler that was restarted, must not end a night. What is finished is in the workdir."""


@contextmanager
def entered_again(flow_run_id: UUID, run_count: int) -> Iterator[None]:
    """Let Prefect enter this flow run again, minutes later, when the block fails for a reason that may pass.

    Args:
        run_count: how often it has been entered, from 1.
    """
    try:
        yield
    except (StageFailedError, ClusterLostError, OSError) as error:
        if run_count <= len(RETRY_SECONDS):
            _allow_retry(flow_run_id, RETRY_SECONDS[run_count - 1], error)
        raise


def _allow_retry(flow_run_id: UUID, seconds: int, error: Exception) -> None:
    policy = FlowRunPolicy(retries=len(RETRY_SECONDS), retry_delay=seconds)
    logger = get_run_logger()
    said = without_credentials(str(error))
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run_id, empirical_policy=policy)
    except httpx.HTTPError as refused:
        logger.warning("Prefect's server does not let this run be entered again: %s", type(refused).__name__)
    else:
        logger.warning("%s; the run goes on in %s s", said, seconds)


@contextmanager
def turn_at(workdir: str) -> Iterator[None]:
    """Wait until no other deployed run is at this workdir, and keep others waiting inside the block.

    Two runs at one workdir do each other no harm, but each would do the work of the other. The limit is a global one
    of Prefect's, one for each workdir, and gone when no run is there any more.
    """
    name = f"dsir-workdir-{_name_of(workdir)}"
    with get_client(sync_client=True) as client:
        try:
            with ExitStack() as turn:
                while not _take_turn(client, turn, name, without_credentials(workdir)):
                    pass
                yield
        finally:
            _drop_limit(client, name)


def cluster_setting() -> Cluster:
    """The cluster in Prefect's variable, or the one on this machine.

    Raises:
        RequestError: the variable holds something else.
    """
    value = Variable.get(CLUSTER_VARIABLE, default=None)
    return HERE if value is None else parse_cluster(value)


def _name_of(workdir: str) -> str:
    place = without_credentials(workdir) if "://" in workdir else f"{socket.gethostname()}:{Path(workdir).resolve()}"
    return hashlib.sha256(place.rstrip("/").encode()).hexdigest()[:16]


def _take_turn(client: SyncPrefectClient, turn: ExitStack, name: str, workdir: str) -> bool:
    """Wait for the turn, and hold it as long as `turn` is open; False where the limit went while this run waited."""
    if _make_limit(client, name):
        get_run_logger().info("waiting for another run at the workdir %s (limit %s)", workdir, name)
    # A server that restarts forgets leases; that is no reason to end a run.
    held = concurrency(name, lease_duration=LEASE_SECONDS, strict=True, raise_on_lease_renewal_failure=False)
    try:
        turn.enter_context(held)
    except ConcurrencySlotAcquisitionError:
        return False
    return True


def _drop_limit(client: SyncPrefectClient, name: str) -> None:
    """Delete a limit that no run holds; one that waits for it makes it anew."""
    try:
        if client.read_global_concurrency_limit_by_name(name).active_slots == 0:
            client.delete_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        pass  # another run was faster
    except httpx.HTTPError as error:
        get_run_logger().warning("the limit %s stays on Prefect's server: %s", name, type(error).__name__)


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
