"""Runs started from a terminal: inline, or by Prefect and Dask with nothing started by hand."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from dsir_core.config.request import SelectConfig
from dsir_core.errors import RunFailedError
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.shards.warm_up import kernels_are_kept, warm_up
from dsir_core.stages.output_dir import check_output
from dsir_core.stages.plan import Plan
from dsir_core.stages.preflight import check_shared, preflight
from dsir_core.stages.run import Run
from flows.prefect_settings import may_be_configured
from flows.served import served_api
from flows.watching.terminal import Watch, note, saying, watching
from tasks.cluster_settings import HERE, Cluster, Local

if TYPE_CHECKING:
    from prefect import Flow

    from flows.select import Prepared


def run_select(
    config: SelectConfig, cluster: Cluster = HERE, *, watch: Watch, only_resamples: bool = False
) -> dict[str, Any]:
    """Run the whole pipeline; the content of report.json.

    Args:
        only_resamples: see `Run.only_resamples`.
    """
    planned = _look(config, watch, check_output, only_resamples=only_resamples)
    if _is_inline(config, cluster, watch, planned):
        from dsir_core.pipeline import select

        with _inline(config, planned, watch, only_resamples=only_resamples) as run:
            return select(run)
    with _orchestrated(config, cluster, watch, planned, only_resamples=only_resamples) as prepared:
        from flows.select import select_flow

        figures: dict[str, Any] = _call(select_flow, config, prepared)
        return figures


def run_score(config: SelectConfig, cluster: Cluster = HERE, *, watch: Watch) -> tuple[str, int]:
    """Run the stages up to the weights; the name of their list in the workdir, and how many documents it covers."""
    planned = _look(config, watch)
    if _is_inline(config, cluster, watch, planned):
        from dsir_core.pipeline import score_only

        with _inline(config, planned, watch) as run:
            name, scores = score_only(run)
        return name, scores.tally.documents
    with _orchestrated(config, cluster, watch, planned) as prepared:
        from flows.select import score_flow

        found: tuple[str, int] = _call(score_flow, config, prepared)
        return found


def run_compare(
    config: SelectConfig, target_labels: Sequence[str], cluster: Cluster = HERE, *, watch: Watch
) -> dict[str, Any]:
    """Compare the methods; the content of compare.json."""
    from dsir_core.stages.compare import check_comparison

    planned = _look(config, watch, lambda run: check_comparison(run, target_labels))
    if _is_inline(config, cluster, watch, planned):
        from dsir_core.pipeline import compare_methods

        with _inline(config, planned, watch) as run:
            return compare_methods(run, target_labels)
    with _orchestrated(config, cluster, watch, planned) as prepared:
        from flows.select import compare_flow

        figures: dict[str, Any] = _call(compare_flow, config, prepared, list(target_labels))
        return figures


def _look(
    config: SelectConfig,
    watch: Watch,
    check_place: Callable[[Run], None] = lambda _: None,
    *,
    only_resamples: bool = False,
) -> Plan:
    """What is to be read; what can be seen to be wrong is refused before anything slow begins."""
    with saying(watch, "looking at raw and target", to_logs=False):
        return preflight(Run(config, InlineExecutor(), only_resamples=only_resamples), check_place)


def _is_inline(config: SelectConfig, cluster: Cluster, watch: Watch, planned: Plan) -> bool:
    """Whether this process does the work: as asked, or since starting Prefect and Dask would take longer than that.

    Raises:
        RequestError: workers could not reach the output or the workdir.
    """
    if config.inline is not None:
        is_inline = config.inline
    else:
        asks_for_dask = cluster is not HERE or config.workers is not None or watch.dask_report is not None
        is_inline = len(planned.raw.shards) == 1 and not asks_for_dask and not (may_be_configured() or served_api())
        if is_inline:
            note(
                watch,
                "raw is one shard: running in this process, without Prefect and Dask (--no-inline to use them)",
            )
    if not is_inline:
        check_shared(config)
    return is_inline


@contextmanager
def _inline(config: SelectConfig, planned: Plan, watch: Watch, *, only_resamples: bool = False) -> Iterator[Run]:
    """A run in this process, for the block."""
    _compile(watch)
    with watching(watch) as observe:
        yield Run(config, InlineExecutor(), observe, planned=planned, only_resamples=only_resamples)


def _compile(watch: Watch) -> None:
    """Compile the kernels where that has not been done, so that no stage's speed and time left are of compilation."""
    if not kernels_are_kept():
        with saying(watch, "compiling kernels (once a machine)"):
            warm_up()


@contextmanager
def _orchestrated(
    config: SelectConfig, cluster: Cluster, watch: Watch, planned: Plan, *, only_resamples: bool = False
) -> Iterator[Prepared]:
    """What a flow needs, for the block: Prefect's server, the cluster and the imports start side by side."""
    from flows.prefect_server import import_prefect, prefect_api
    from flows.prefect_settings import quiet_prefect

    with (
        ExitStack() as starting,
        quiet_prefect(watch.verbose),
        prefect_api(verbose=watch.verbose) as api,
    ):
        if isinstance(cluster, Local):
            _compile(watch)
        starting.enter_context(saying(watch, "starting Prefect and Dask"))
        from tasks.cluster import start_in_background
        from tasks.clusters import open_cluster

        given_up = threading.Event()
        opened = open_cluster(cluster, config.workers, verbose=watch.verbose, given_up=given_up)
        with start_in_background(opened, given_up) as start:
            import_prefect()
            from flows.select import PREPARED, Prepared
            from tasks.dashboards import dask_report
            from tasks.executor import DaskExecutor

            api.wait()
            executor = DaskExecutor(start.result())
            starting.close()
            with watching(watch) as observe, dask_report(start.result(), watch.dask_report):
                prepared = Prepared(executor, observe, config, planned, only_resamples)
                token = PREPARED.set(prepared)
                try:
                    yield prepared
                finally:
                    PREPARED.reset(token)


def _call(flow: Flow[..., Any], config: SelectConfig, prepared: Prepared, *more: Any) -> Any:
    """Run a flow; all its figures, which outlive a server that should have recorded its end.

    Raises:
        RunFailedError: Prefect's server went away before the work was done.
    """
    import httpx

    try:
        # Whoever typed the command has the result.
        flow.with_options(persist_result=False)(config.redacted(), *more)
    except httpx.HTTPError as error:
        if not prepared.results:
            raise RunFailedError(
                f"Prefect's server went away ({error}). What is finished is kept: run the same command again to go on"
            ) from error
        print(f"note: Prefect's server went away and has not recorded the end of this run ({error})", file=sys.stderr)
    return prepared.results[0]
