"""The flow: the stages of a run as Prefect tasks, over a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect import flow
from prefect.runtime import flow_run

from dsir_core.config import SelectConfig
from dsir_core.executor import Executor
from dsir_core.pipeline import score_only, select
from dsir_core.progress import Observer, ignore
from dsir_core.stages.run import Run
from flows.prefect_settings import log_to_run
from tasks.cluster import local_cluster
from tasks.fanout import DaskExecutor
from tasks.stages import call_as_task

Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared:
    """What a caller in the same process has made ready for the flow."""

    executor: Executor
    observe: Observer
    config: SelectConfig
    """The request as it was given; Prefect's records get it without credentials."""
    results: list[Any] = field(default_factory=list)
    """What the flow has returned, for when Prefect's server goes away between a flow's end and its record."""


PREPARED: ContextVar[Prepared | None] = ContextVar("prepared", default=None)
"""Set by the command, which starts the cluster beside Prefect; a deployment's run makes its own."""


def _name() -> str:
    config = flow_run.parameters["config"]
    output = config.output if isinstance(config, SelectConfig) else config.get("output", "")
    return f"select to {output}" if output else "score"


@flow(name="dsir-select", flow_run_name=_name, retries=0, persist_result=False, validate_parameters=True)
def select_flow(config: SelectConfig) -> dict[str, Any]:
    """Select from raw the documents distributed like target.

    Returns:
        The content of report.json.
    """
    with _run(config) as run:
        return _keep(select(run, call_as_task))


@flow(name="dsir-score", flow_run_name=_name, retries=0, persist_result=False, validate_parameters=True)
def score_flow(config: SelectConfig) -> tuple[str, int]:
    """Compute the importance weights of raw.

    Returns:
        Name of the list of weights files in the workdir, and the number of documents scored.
    """
    with _run(config) as run:
        name, scores = score_only(run, call_as_task)
        return _keep((name, scores.tally.documents))


def _keep(result: Result) -> Result:
    if (prepared := PREPARED.get()) is not None:
        prepared.results.append(result)
    return result


@contextmanager
def _run(config: SelectConfig) -> Iterator[Run]:
    prepared = PREPARED.get()
    with log_to_run(str(flow_run.id)):
        if prepared is not None:
            yield Run(prepared.config, prepared.executor, prepared.observe)
            return
        with local_cluster(config.workers) as client:
            yield Run(config, DaskExecutor(client), ignore)
