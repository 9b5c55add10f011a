"""Stages as Prefect tasks: one task run a stage, entered again when a failure may pass.

A stage that is entered again finds the receipts of the shards that are done and does only the rest. Nothing of
Prefect's own caching or result storage is used: the checkpoints in the workdir are what a run resumes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from dsir_core.errors import DsirError
from dsir_core.stages.run import Run, StageFailedError

Result = TypeVar("Result")

RETRIES = 2
BACKOFF_SECONDS = 2


def call_as_task(stage: Callable[..., Result], run: Run, *inputs: Any) -> Result:
    """Run `stage(run, *inputs)` as a Prefect task named after it; an implementation of `pipeline.CallStage`.

    The inputs go in by closure: as task parameters Prefect would walk through every shard of the plan.
    """

    def call() -> Result:
        return stage(run, *inputs)

    task: Task[[], Result] = Task(
        call,
        name=stage.__name__,
        task_run_name=stage.__name__,
        tags=["dsir"],
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return task()


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a stage failed for a reason that entering it again may cure: storage, or lost workers."""
    try:
        state.result()
    except StageFailedError:
        return True
    except DsirError:
        return False
    except Exception as error:
        return isinstance(error, OSError)
    return False
