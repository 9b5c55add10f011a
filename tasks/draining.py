"""A nanny that is told to end lets its worker finish what runs: `dask worker --preload-nanny tasks.draining`.

Without it `dask worker` ends at SIGTERM in the middle of a shard, which Dask counts as a death of the shard's worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

logger = logging.getLogger("distributed.nanny")

DRAIN_SECONDS = 45.0
"""How long what runs may take; then it is handed back, and runs elsewhere. Who sends SIGTERM should wait 15 s longer
before SIGKILL."""

POLL_SECONDS = 0.2


async def dask_teardown(nanny: Any) -> None:
    """Give the worker nothing new, wait for what runs, hand back what does not, and only then let the nanny end it.

    Args:
        nanny: a `distributed.Nanny` that is closing.
    """
    worker = nanny.worker_address
    if worker is None or not nanny.is_alive():
        return
    logger.info("Draining %s", worker)
    await nanny.scheduler.retire_workers(workers=[worker], close_workers=False, remove=False)
    deadline = time.monotonic() + DRAIN_SECONDS
    async with nanny.rpc(worker) as there:
        while time.monotonic() < deadline:
            wanted = (await nanny.scheduler.processing(workers=[worker])).get(worker, ())
            if not set(wanted) & set(await there.call_stack(keys=None)):
                break
            await asyncio.sleep(POLL_SECONDS)
    # A worker that leaves in this way is none that its tasks have killed.
    await nanny.scheduler.retire_workers(workers=[worker], close_workers=False, remove=True)
    logger.info("Drained %s", worker)
