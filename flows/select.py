"""The flow: the stages of a run as Prefect tasks, over a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.pipeline import compare_methods, score_only, select
from dsir_core.report.formatting import counted
from dsir_core.runtime.events import Observer
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.compare import check_comparison
from dsir_core.stages.output_dir import check_output
from dsir_core.stages.plan import Plan
from dsir_core.stages.preflight import check_shared, preflight
from dsir_core.stages.run import Run
from dsir_core.urls import without_credentials
from flows.deployed import cluster_setting, entered_again, turn_at
from flows.form import ScoreRequest, SelectionRequest, flattened
from flows.summary import page_of, summary
from flows.watching.artifacts import Artifacts, artifacts
from flows.watching.metrics import Metrics
from flows.watching.run_log import RunLog, log_to_run
from flows.watching.summary_page import comparison_markdown, summary_markdown
from flows.watching.terminal import together
from tasks.cluster_settings import Cluster, ClusterSettings
from tasks.clusters import open_cluster
from tasks.dashboards import SchedulerMetrics
from tasks.executor import DaskExecutor
from tasks.stages import StageTasks


@dataclass(frozen=True)
class Prepared:
    """What a caller in the same process has made ready for the flow."""

    executor: Executor
    observe: Observer
    config: SelectConfig
    """The request as it was given; Prefect's records get it without credentials."""
    planned: Plan | None = None
    """What is read, listed before."""
    only_resamples: bool = False
    """See `Run.only_resamples`."""
    results: list[Any] = field(default_factory=list)
    """What the flow has returned, for when Prefect's server goes away between a flow's end and its record."""


PREPARED: ContextVar[Prepared | None] = ContextVar("prepared", default=None)
"""Set by the command, which starts the cluster beside Prefect; a deployment's run makes its own."""


def _given(name: str) -> str:
    """A URL of the request, as a run's name may show it: names are in logs, and in messages to webhooks."""
    config = flow_run.parameters["config"]
    values = config.model_dump() if isinstance(config, SelectConfig) else flattened(config)
    return without_credentials(values.get(name) or "")


def _named(what: str, place: str) -> str:
    """The name of this run: nights that write to one place differ in the time."""
    return f"{what} {place} at {flow_run.scheduled_start_time:%Y-%m-%d %H:%M:%S}"


def _select_name() -> str:
    return _named("select to", _given("output"))


def _score_name() -> str:
    return _named("score in", _given("workdir") or _given("output").rstrip("/") + ".work")


def _compare_name() -> str:
    return _named("compare in", _given("output"))


@flow(
    name="dsir-select",
    flow_run_name=_select_name,
    retries=0,  # see `entered_again`
    persist_result=True,
    result_serializer="json",
    validate_parameters=True,
)
def select_flow(config: SelectionRequest, cluster: ClusterSettings | None = None) -> dict[str, Any]:
    """Select from raw the documents distributed like target.

    Args:
        config: What to select, from what, and where it goes.
        cluster: The Dask cluster that does the work; default: the Prefect variable `dsir_cluster`, or this machine.

    Returns:
        The figures of the run (documents, tokens, KL reduction for each target, ...), and where output and report lie.
    """
    with _run(config, cluster, check_output) as (run, shown):
        figures = select(run, StageTasks())
        result = summary(run.config, figures)
        shown.ends(summary_markdown(figures, result["report"]), result["report"])
        return _keep(figures, result)


@flow(
    name="dsir-score",
    flow_run_name=_score_name,
    retries=0,
    persist_result=True,
    result_serializer="json",
    validate_parameters=True,
)
def score_flow(config: ScoreRequest, cluster: ClusterSettings | None = None) -> dict[str, Any]:
    """Compute the importance weights of raw.

    Args:
        config: What to score, and the workdir.
        cluster: The Dask cluster that does the work; default: the Prefect variable `dsir_cluster`, or this machine.

    Returns:
        `documents`, the number scored, and `weights_listed_in`, where the list of weights files lies.
    """
    with _run(config, cluster, lambda _: None, selects=False) as (run, shown):
        name, scores = score_only(run, StageTasks())
        documents, listed = scores.tally.documents, f"{run.config.redacted().workdir_url}/{name}"
        shown.ends(f"# {counted(documents, 'document')} scored\n", listed)
        return _keep((name, documents), {"documents": documents, "weights_listed_in": listed})


@flow(
    name="dsir-compare",
    flow_run_name=_compare_name,
    retries=0,
    persist_result=True,
    result_serializer="json",
    validate_parameters=True,
)
def compare_flow(
    config: SelectionRequest,
    target_labels: list[str] | None = None,
    cluster: ClusterSettings | None = None,
) -> dict[str, Any]:
    """Compare what each method would select.

    Args:
        config: What to select, from what, and where compare.html goes. Its method is not looked at.
        target_labels: Values of the field `strata` that are what the targets ask for: their share is the precision.
        cluster: The Dask cluster that does the work; default: the Prefect variable `dsir_cluster`, or this machine.

    Returns:
        `methods`, the figures of each, and `page`, where compare.html lies.
    """
    labels = target_labels or ()
    with _run(config, cluster, lambda run: check_comparison(run, labels)) as (run, shown):
        figures = compare_methods(run, labels, StageTasks())
        page = page_of(run.config)
        shown.ends(comparison_markdown(figures, page), page)
        return _keep(figures, {"methods": figures["methods"], "page": page})


def _keep(whole: Any, result: dict[str, Any]) -> dict[str, Any]:
    """Keep all figures for a caller in this process; what Prefect records, and a caller elsewhere gets, is small."""
    if (prepared := PREPARED.get()) is not None:
        prepared.results.append(whole)
    return result


@contextmanager
def _run(
    config: SelectConfig, cluster: Cluster | None, check_place: Callable[[Run], None], *, selects: bool = True
) -> Iterator[tuple[Run, Artifacts]]:
    """What a flow works with, for the block.

    Args:
        check_place: refuses a place that the run must not write to, before a cluster starts.
    """
    prepared = PREPARED.get()
    run_id = UUID(str(flow_run.id))
    _add_tags(run_id)
    with log_to_run(str(run_id)), artifacts(run_id) as shown:
        if prepared is not None:
            observe = together(prepared.observe, RunLog(), shown, *_metrics(prepared.executor, run_id))
            run = Run(
                prepared.config,
                prepared.executor,
                observe,
                planned=prepared.planned,
                only_resamples=prepared.only_resamples,
            )
            yield run, shown
            return
        request = parse_config(config.model_dump(exclude_unset=True), sized=selects, output=selects)
        if not request.inline:
            check_shared(request)
        with entered_again(run_id, flow_run.run_count), turn_at(request.workdir_url):
            planned = preflight(Run(request, InlineExecutor(), RunLog()), check_place)
            with _executor(request, cluster) as executor:
                observe = together(RunLog(), shown, *_metrics(executor, run_id))
                yield Run(request, executor, observe, planned=planned), shown


def _add_tags(run_id: UUID) -> None:
    """Tag a run that no deployment of ours has tagged; its tasks get no tags, see `stage_task`."""
    wanted, found = {"dsir", flow_run.flow_name}, set(flow_run.tags)
    if not wanted <= found:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run_id, tags=sorted(wanted | found))


def _metrics(executor: Executor, run_id: UUID) -> list[Observer]:
    return [Metrics(SchedulerMetrics(executor.client, str(run_id)))] if isinstance(executor, DaskExecutor) else []


@contextmanager
def _executor(config: SelectConfig, cluster: Cluster | None) -> Iterator[Executor]:
    if config.inline:
        yield InlineExecutor()
        return
    with open_cluster(cluster or cluster_setting(), config.workers) as client:
        yield DaskExecutor(client)
