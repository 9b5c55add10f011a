"""Dask plugins that a run gives the workers of a cluster that it starts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from typing import Any

from distributed import Nanny, NannyPlugin, Worker, WorkerPlugin

from dsir_core.shards.warm_up import warm_up_in_background
from tasks.dask_private import configure_workers
from tasks.draining import drain


class WorkerSettings(NannyPlugin):
    """Gives workers our settings of Dask, wherever they start, and drains them at SIGTERM.

    A worker that was started before it knew of the settings is restarted.

    Args:
        settings: Dask's configuration, by dotted key.
    """

    name = "dsir-worker-settings"
    restart = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)

    def setup(self, nanny: Nanny) -> None:
        """Change what the nanny's next worker process is started with."""
        configure_workers(nanny, self.settings)

    async def teardown(self, nanny: Nanny) -> None:
        """Let the worker finish what runs; the nanny ends it afterwards."""
        await drain(nanny)


class WarmUp(WorkerPlugin):
    """Imports the heavy modules in a thread of each worker as it starts, restarted ones included."""

    name = "dsir-warm-up"

    def setup(self, worker: Worker) -> None:
        """Return at once: the first shard waits for what it needs, and only for that."""
        warm_up_in_background()


class NannyDecides(WorkerPlugin):
    """Leaves SIGTERM to the nanny, which drains: batch systems send it to all processes of a job.

    A nanny that ends its worker for its memory sends SIGKILL a moment after SIGTERM.
    """

    name = "dsir-nanny-decides"

    def setup(self, worker: Worker) -> None:
        """Ignore SIGTERM in a worker process that has a nanny."""
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
