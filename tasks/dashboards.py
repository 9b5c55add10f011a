"""What Dask itself can show of a run: its performance report, and the run's figures on its metrics endpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from distributed import Client, performance_report

from dsir_core.errors import RequestError
from tasks.metrics_page import Figures, publish

logger = logging.getLogger(__name__)


@contextmanager
def dask_report(client: Client, path: str | None) -> Iterator[None]:
    """Save Dask's performance report of the block, if it ends well.

    Args:
        path: where to, a local path or an fsspec URL; None for no report.

    Raises:
        RequestError: Bokeh is not installed, which draws it.
    """
    if path is None:
        yield
        return
    if find_spec("bokeh") is None:
        raise RequestError("--dask-report needs Bokeh, which is not installed: pip install 'dsir-pipeline[dashboard]'")
    with client.as_current(), performance_report(filename=path):
        yield


class SchedulerMetrics:
    """Puts a run's figures on the `/metrics` page of the scheduler, for Prometheus.

    A scheduler that cannot (it has not this package, or no prometheus_client) is told so in the log, once.

    Args:
        client: of the cluster.
        run: names the run in the label `run`.
    """

    def __init__(self, client: Client, run: str) -> None:
        self._client, self._run = client, run
        self._works = True

    def publish(self, figures: Figures) -> None:
        """Replace the figures that are shown."""
        if not self._works:
            return
        try:
            self._client.run_on_scheduler(publish, self._run, figures)
        except Exception as error:
            self._works = False
            logger.info("Dask's metrics page does not show this run: %s: %s", type(error).__name__, error)
