"""What is used of Dask beyond its documented interface.

Nothing else in this project does. `tests/tasks/test_dask_private.py` has a test for each function, so that a release of
Dask that changes one of them is found there. Checked with distributed 2026.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Nanny, get_worker
from distributed.utils import get_mp_context


@dataclass(frozen=True)
class Assigned:
    """Whether the worker that runs a task still has to: not once it is cancelled, nor once the worker is closing.

    Without it shards of a cancelled run go on to their end.
    """

    key: str
    """Of the task."""

    def __call__(self) -> bool:
        """Ask the worker of this thread, which has heard it from its scheduler."""
        worker = get_worker()
        task = worker.state.tasks.get(self.key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed")


def memory_limit(dask_worker: Any) -> tuple[str, str, int]:
    """A nanny's address, its worker's, and the bytes above which it usually ends that worker; 0 where it never does.

    Without it a shard that needs more memory than its worker has is never tried with more.

    Args:
        dask_worker: a `distributed.Nanny`; Dask gives it by this name.
    """
    manager = dask_worker.memory_manager
    limit = getattr(manager, "usual_limit", manager.memory_limit)
    return dask_worker.address, dask_worker.worker_address or "", int(limit or 0)


def lend_memory(limits: Mapping[str, int], dask_worker: Any) -> None:
    """Let nannies end their workers above other limits than usual.

    Args:
        limits: bytes by the nanny's address; nannies that are not in it have their usual limit again.
        dask_worker: a `distributed.Nanny`; Dask gives it by this name.
    """
    manager = dask_worker.memory_manager
    if not hasattr(manager, "usual_limit"):
        manager.usual_limit = manager.memory_limit
    manager.memory_limit = limits.get(dask_worker.address, manager.usual_limit)


def preload_forks(modules: Sequence[str]) -> None:
    """Choose what the process imports that workers are forks of (`distributed.worker.multiprocessing-method`).

    Dask chooses by itself the first time that it makes this context, so that it must be made before. Without it each
    worker imports everything by itself.
    """
    get_mp_context().set_forkserver_preload(list(modules))


PRE_SPAWN = "distributed.nanny.pre-spawn-environ."


def configure_workers(nanny: Nanny, settings: Mapping[str, Any]) -> None:
    """Change the settings of Dask that a nanny starts its worker processes with, from the next one on.

    Without it the workers of a batch system or of a cloud have Dask's defaults: they pause at 80 % of their memory, and
    with nothing to spill they never go on.

    Args:
        nanny: whose workers are meant.
        settings: by dotted key.
    """
    # In place: the process that the nanny starts again has a shallow copy of this dictionary.
    dask.config.set(settings, config=nanny.config)
    environment = {key.removeprefix(PRE_SPAWN): str(value) for key, value in settings.items() if PRE_SPAWN in key}
    nanny.pre_spawn_env.update(environment)
    nanny.env.update(environment)


async def stop_receiving(nanny: Nanny, worker: str) -> None:
    """Let the scheduler send a worker nothing new."""
    await nanny.scheduler.retire_workers(workers=[worker], close_workers=False, remove=False)


async def is_working(nanny: Nanny, worker: str) -> bool:
    """Whether a worker runs something that the scheduler still waits for, or has run it and is about to say so."""
    async with nanny.rpc(worker) as there:
        wanted = (await nanny.scheduler.processing(workers=[worker])).get(worker, ())
        # In this order: what ends between two of these calls is in the later answer.
        begun = {*await there.call_stack(keys=None), *await there.keys()}
        return bool(begun & set(wanted))


async def holds_results(nanny: Nanny, worker: str) -> bool:
    """Whether a worker holds results that somebody may not have fetched yet."""
    held = await nanny.scheduler.has_what(workers=[worker])
    return bool(held.get(worker))


async def leave_scheduler(nanny: Nanny, worker: str) -> None:
    """Hand back what a worker has not begun; one that leaves in this way is none that its tasks have killed."""
    await nanny.scheduler.retire_workers(workers=[worker], close_workers=False, remove=True)
