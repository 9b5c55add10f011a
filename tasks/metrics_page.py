"""A run's figures for Prometheus, in whatever process serves a `/metrics` page: a Dask scheduler does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Mapping[str, float]]
"""Value by stage and name; names are those of `METRICS`."""

METRICS = {
    "documents": "Documents that shards of a stage have gone through.",
    "bytes": "Stored bytes that shards of a stage have read.",
    "bad": "Bad records.",
    "shards": "Shards of a stage that are done.",
    "failed": "Shards of a stage that failed.",
    "retries": "Requests to storage that were made again.",
    "seconds": "How long a stage has taken.",
}

MAX_RUNS = 20
"""Of the last runs; a scheduler may live for months."""


class RunCollector:
    """What prometheus_client asks when the page is read."""

    def __init__(self) -> None:
        self._runs: dict[str, Figures] = {}
        self._lock = threading.Lock()

    def put(self, run: str, figures: Figures) -> None:
        """Replace a run's figures."""
        with self._lock:
            self._runs.pop(run, None)
            self._runs[run] = figures
            while len(self._runs) > MAX_RUNS:
                self._runs.pop(next(iter(self._runs)))

    def collect(self) -> Iterator[Any]:
        """See prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        with self._lock:
            runs = dict(self._runs)
        for name, text in METRICS.items():
            family = GaugeMetricFamily(f"dsir_{name}", text, labels=["run", "stage"])
            for run, stages in runs.items():
                for stage, values in stages.items():
                    family.add_metric([run, stage], values.get(name, 0.0))
            yield family


_COLLECTOR: RunCollector | None = None


def publish(run: str, figures: Figures) -> None:
    """Show a run's figures on this process's metrics page.

    Raises:
        ImportError: prometheus_client is not installed here.
    """
    global _COLLECTOR
    if _COLLECTOR is None:
        from prometheus_client import REGISTRY

        _COLLECTOR = RunCollector()
        REGISTRY.register(_COLLECTOR)
    _COLLECTOR.put(run, figures)
