"""A nanny that ends lets its worker finish what runs: `dask worker --preload-nanny tasks.draining`.

Without it `dask worker` ends at SIGTERM in the middle of a shard, which Dask counts as a death of the shard's worker.
Workers of a cluster that a run starts drain without the option (`tasks.plugins`).
"""

from __future__ import annotations

import asyncio
import logging
import time

from distributed import Nanny

from tasks.dask_private import holds_results, is_working, leave_scheduler, stop_receiving

logger = logging.getLogger("distributed.nanny")

DRAIN_SECONDS = 45.0
"""How long what runs may take; then it is handed back, and runs elsewhere. Whoever sends SIGTERM should wait 15 s
longer before SIGKILL."""

HAND_OVER_SECONDS = 5.0
"""How long the results of what ran may take to be fetched; then they move to another worker, or are made anew."""

POLL_SECONDS = 0.2


async def drain(nanny: Nanny) -> None:
    """Give the worker nothing new, wait for what runs, and hand back what does not.

    Args:
        nanny: that is closing, and will end its worker afterwards.
    """
    worker = nanny.worker_address
    if worker is None or not nanny.is_alive():
        return
    logger.info("Draining %s", worker)
    await stop_receiving(nanny, worker)
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline and await is_working(nanny, worker):
        await asyncio.sleep(POLL_SECONDS)
    deadline = min(deadline, time.monotonic() + HAND_OVER_SECONDS)
    while time.monotonic() < deadline and await holds_results(nanny, worker):
        await asyncio.sleep(POLL_SECONDS)
    await leave_scheduler(nanny, worker)
    logger.info("Drained %s", worker)


async def dask_teardown(nanny: Nanny) -> None:
    """Drain; Dask calls it by this name (see Dask's page on preloads)."""
    await drain(nanny)
