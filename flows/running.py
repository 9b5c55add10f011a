"""Runs started from a terminal: inline, or by Prefect and Dask with nothing started by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dsir_core.config import SelectConfig
from dsir_core.executor import InlineExecutor
from dsir_core.stages.run import Run
from flows.progress import terminal_observer


def run_select(config: SelectConfig, *, verbose: bool) -> dict[str, Any]:
    """Run the whole pipeline; the content of report.json."""
    if config.inline:
        from dsir_core.pipeline import select

        with terminal_observer() as observe:
            return select(Run(config, InlineExecutor(), observe))
    with _orchestrated(config, verbose):
        from flows.select import select_flow

        return select_flow(config)


def run_score(config: SelectConfig, *, verbose: bool) -> tuple[str, int]:
    """Run the stages up to the weights; the name of their list in the workdir, and how many documents it covers."""
    if config.inline:
        from dsir_core.pipeline import score_only

        with terminal_observer() as observe:
            name, scores = score_only(Run(config, InlineExecutor(), observe))
        return name, scores.tally.documents
    with _orchestrated(config, verbose):
        from flows.select import score_flow

        return score_flow(config)


@contextmanager
def _orchestrated(config: SelectConfig, verbose: bool) -> Iterator[None]:
    """What a flow needs, for the block: Prefect's server, the cluster and the imports start side by side."""
    from flows.prefect_server import prefect_api
    from flows.prefect_settings import quiet_prefect

    with quiet_prefect(verbose), prefect_api(verbose=verbose) as api:
        from tasks.cluster import local_cluster, start_in_background

        with start_in_background(local_cluster(config.workers, verbose=verbose)) as start:
            api.wait()
            from flows.select import PREPARED, Prepared
            from tasks.fanout import DaskExecutor

            executor = DaskExecutor(start.result())
            with terminal_observer() as observe:
                token = PREPARED.set(Prepared(executor, observe))
                try:
                    yield
                finally:
                    PREPARED.reset(token)
