"""A run's figures on the scheduler's metrics page, at most every two seconds and at the end of each stage."""

from __future__ import annotations

from dsir_core.runtime.events import Event, StageEnds
from flows.watching.standing import Pace, RunStanding, Standing
from tasks.dashboards import SchedulerMetrics

PUBLISH_SECONDS = 2.0


class Metrics:
    """An observer that publishes a run's figures.

    Args:
        page: of the run.
    """

    def __init__(self, page: SchedulerMetrics) -> None:
        self._page = page
        self._standing = RunStanding()
        self._pace = Pace(PUBLISH_SECONDS)

    def __call__(self, event: Event) -> None:
        """See Observer."""
        self._standing.add(event)
        if self._pace.is_due() or isinstance(event, StageEnds):
            self._page.publish({name: _figures(stage) for name, stage in self._standing.stages.items()})


def _figures(stage: Standing) -> dict[str, float]:
    return {
        "documents": stage.documents,
        "bytes": stage.read_bytes,
        "bad": stage.bad,
        "shards": stage.shards,
        "failed": stage.failed,
        "retries": stage.retries,
        "seconds": stage.seconds,
    }
