"""The names of Prefect that are not part of its documented interface. No other module imports any.

tests/flows/test_prefect_private.py says for each what breaks when a release changes it.
"""

from __future__ import annotations

from typing import Any


def embedded_app() -> Any:
    """Prefect's server as an ASGI application, without the UI and the services of schedules and workers."""
    from prefect.server.api.server import create_app

    return create_app(ephemeral=True, final=True)


def refresh_settings() -> None:
    """Let Prefect read the environment again: its threads use what it read last."""
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()


def drain_client(seconds: float) -> None:
    """Send the events and log lines that this process still holds.

    At exit Prefect would try again, when an embedded server is gone.

    Args:
        seconds: how long to wait for each of the two.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=seconds)
