"""The Dask cluster of a run, as its settings say: here, one that runs already, or one that a class starts."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path

import dask
from dask.utils import parse_bytes
from distributed import Client
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.security import Security

from dsir_core.errors import ClusterLostError, MixedVersionsError, RequestError, RunFailedError
from dsir_core.shards import versions
from dsir_core.shards.warm_up import warm_up_in_background
from dsir_core.urls import without_credentials
from tasks.cluster import DASK_CONFIG, local_cluster, log_level, without_interrupts
from tasks.cluster_settings import HERE, Address, Cluster, Local, SchedulerFile, Started, TlsSettings
from tasks.plugins import NannyDecides, WorkerSettings

N_NAMED = 3
"""How many workers with other versions an error names."""

EXTRAS = {"dask_kubernetes": "kubernetes", "dask_jobqueue": "slurm"}
"""Extras of this package by the module that they bring."""


POLL_SECONDS = 0.5
"""How often who waits for workers looks whether anybody still wants them."""


def open_cluster(
    settings: Cluster = HERE,
    workers: int | None = None,
    *,
    verbose: bool = False,
    given_up: threading.Event | None = None,
) -> AbstractContextManager[Client]:
    """A client of the cluster that `settings` describe; with workers, whose versions are those of this process.

    To be called in the main thread, where classes of clusters can be imported; any thread may enter the result.

    Args:
        workers: the request's own `workers`, for a cluster on this machine.
        verbose: show Dask's own log.
        given_up: once it is set, no worker is waited for any more; for who opens it in another thread.

    Raises:
        RequestError: the settings contradict each other, or a class is none of a cluster.
        Entering raises RunFailedError when no worker comes, MixedVersionsError when workers have other versions.
    """
    if isinstance(settings, Local):
        if workers and settings.local.workers and workers != settings.local.workers:
            raise RequestError("workers and cluster.local.workers differ: give one of them")
        memory = parse_bytes(settings.local.memory) if settings.local.memory else None
        return local_cluster(workers or settings.local.workers, memory_limit=memory, verbose=verbose)
    if workers:
        raise RequestError("workers is for a cluster on this machine, and cluster names another: give one of them")
    given_up = given_up or threading.Event()
    if isinstance(settings, Started):
        return _started(_cluster_class(settings.class_), settings, verbose, given_up)
    return connect(settings, verbose=verbose, given_up=given_up)


@contextmanager
def connect(
    settings: Address | SchedulerFile, *, verbose: bool = False, given_up: threading.Event | None = None
) -> Iterator[Client]:
    """A client of a scheduler that runs already, and goes on running afterwards.

    Raises:
        RunFailedError: no scheduler answers, or no worker has joined it, within `wait_seconds` each.
        MixedVersionsError: its workers have other versions than this process.
    """
    if isinstance(settings, Address):
        named, where = without_credentials(settings.address), {"address": settings.address}
    else:
        named, where = settings.scheduler_file, {"scheduler_file": settings.scheduler_file}
    with _quiet(verbose), dask.config.set(DASK_CONFIG):
        security = _security(settings.tls)
        try:
            client = Client(**where, security=security, timeout=settings.wait_seconds, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # TypeError: TLS without certificates
            raise ClusterLostError(f"no Dask scheduler answers at {named}: {error}") from error
        with client:
            named = f"the Dask scheduler at {named}"
            _wait_for_workers(client, 1, settings.wait_seconds, named, given_up or threading.Event())
            yield client


@contextmanager
def _started(kind: type[DaskCluster], settings: Started, verbose: bool, given_up: threading.Event) -> Iterator[Client]:
    # A cluster whose last worker has gone waits for the next as long as it waited for the first: jobs queue again.
    config = {**DASK_CONFIG, "distributed.scheduler.no-workers-timeout": f"{settings.wait_seconds}s"}
    with (
        _quiet(verbose),
        dask.config.set(config),
        without_interrupts(lambda: _build(kind, settings)) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(WorkerSettings(DASK_CONFIG))
        client.register_plugin(NannyDecides())
        if settings.adaptive:
            cluster.adapt(minimum=settings.adaptive.minimum, maximum=settings.adaptive.maximum)
        elif settings.workers:
            cluster.scale(settings.workers)
        at_least = settings.adaptive.minimum if settings.adaptive else 1
        _wait_for_workers(client, at_least, settings.wait_seconds, f"cluster {settings.class_}", given_up)
        yield client


def _build(kind: type[DaskCluster], settings: Started) -> DaskCluster:
    try:
        return kind(**settings.options)
    except Exception as error:  # of whatever kind a service has
        raise RunFailedError(f"cluster {settings.class_} does not start: {type(error).__name__}: {error}") from error


def _wait_for_workers(client: Client, n_workers: int, seconds: float, named: str, given_up: threading.Event) -> None:
    deadline = time.monotonic() + seconds
    while n_workers:
        try:
            client.wait_for_workers(n_workers, timeout=min(seconds, POLL_SECONDS))
            break
        except TimeoutError as error:
            if given_up.is_set() or time.monotonic() > deadline:
                raise ClusterLostError(f"{named} has no worker") from error
    check_workers(client)
    client.forward_logging("dsir_core", level=logging.WARNING)


def check_workers(client: Client) -> None:
    """Compare the versions of all workers there are with ours, and let them warm up.

    Workers that join later are compared with each piece of work that they get.

    Raises:
        MixedVersionsError: some differ, or have no `dsir_core` at all; names them and what differs.
    """
    wrong: list[str] = []
    for address, theirs in sorted(client.run(versions.versions, on_error="return").items()):
        if isinstance(theirs, BaseException):
            wrong.append(f"{address}: cannot run dsir_core ({theirs})")
        elif found := versions.differences(theirs):
            wrong.append(f"{address}: dsir-pipeline {theirs[versions.PACKAGE]}, {', '.join(found)}")
    if wrong:
        more = f" and {len(wrong) - N_NAMED} more" if len(wrong) > N_NAMED else ""
        raise MixedVersionsError(
            f"workers have other versions than this process (dsir-pipeline {versions.versions()[versions.PACKAGE]}): "
            f"{'; '.join(wrong[:N_NAMED])}{more}. Install the same version there, and start those workers again"
        )
    client.run(warm_up_in_background)


def _cluster_class(path: str) -> type[DaskCluster]:
    module, _, name = path.rpartition(".")
    try:
        with _signal_handlers():
            kind = getattr(import_module(module), name)
    except (ImportError, ValueError) as error:  # ValueError: it wants the main thread
        extra = EXTRAS.get(module.partition(".")[0])
        way_out = f"; install it with pip install 'dsir-pipeline[{extra}]'" if extra else ""
        raise RequestError(f"cluster.class: {path} cannot be imported ({error}){way_out}") from None
    except AttributeError:
        raise RequestError(f"cluster.class: {module} has no {name}") from None
    if not (isinstance(kind, type) and issubclass(kind, DaskCluster)):
        raise RequestError(f"cluster.class: {path} is no cluster class of Dask")
    return kind


@contextmanager
def _signal_handlers() -> Iterator[None]:
    """Keep this process's handlers: dask_jobqueue 0.9 replaces that of SIGINT when it is imported."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _security(tls: TlsSettings | None) -> Security | None:
    if tls is None:
        return None
    for name, path in tls.model_dump().items():
        if not Path(path).is_file():
            raise RequestError(f"cluster.tls.{name}: no such file: {path}")
    return Security(
        tls_ca_file=tls.ca_file, tls_client_cert=tls.cert_file, tls_client_key=tls.key_file, require_encryption=True
    )


def _quiet(verbose: bool) -> AbstractContextManager[None]:
    return log_level("distributed", logging.INFO if verbose else logging.CRITICAL)
