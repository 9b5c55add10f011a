"""A run in Prefect's log: what each stage reads and has done, in the log of its task run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_run_logger
from prefect.runtime import task_run

from dsir_core.report.formatting import counted
from dsir_core.runtime.events import Event, Note, ShardFailed, StageBegins, StageEnds
from flows.watching.limiting import Limit
from flows.watching.live import words_of
from flows.watching.standing import RunStanding


class RunLog:
    """An observer that logs when stages begin and end, and what went wrong; use it inside the flow."""

    def __init__(self) -> None:
        self._standing = RunStanding()

    def __call__(self, event: Event) -> None:
        """See Observer."""
        stage = self._standing.add(event)
        if isinstance(event, StageBegins) and event.shards:
            size = f", {event.n_bytes / 1e6:,.1f} MB" if event.n_bytes else ""
            get_run_logger().info("%s: %s%s", event.stage, counted(event.shards, "shard"), size)
        elif isinstance(event, StageEnds) and stage is not None:
            read = f", {event.n_bytes / 1e6:,.1f} MB read" if event.n_bytes else ""
            get_run_logger().info("%s: done, %s%s", event.stage, words_of(stage), read)
        elif isinstance(event, ShardFailed):
            get_run_logger().warning("%s: %s failed: %s", event.stage, event.shard, event.reason)
        elif isinstance(event, Note):
            get_run_logger().warning("%s", event.text)


@contextmanager
def log_to_run(flow_run_id: str) -> Iterator[None]:
    """File what `dsir_core` logs, in any thread, under this flow run and the task run at work; use inside the flow.

    Records of Dask workers arrive in a thread of the client that knows of no flow run, and Prefect's
    handler drops such records. What comes too fast to be read is left out, and counted.

    Args:
        flow_run_id: `prefect.runtime.flow_run.id`.
    """
    at_work: str | None = None

    def name_run(record: logging.LogRecord) -> bool:
        nonlocal at_work
        at_work = getattr(record, "task_run_id", None) or task_run.id or at_work
        if not hasattr(record, "flow_run_id"):  # no logger of Prefect's
            record.flow_run_id = flow_run_id
            record.task_run_id = at_work
        return True

    logger = logging.getLogger("dsir_core")
    handlers = {handler: Limit() for handler in logger.handlers}
    for handler, limit in handlers.items():
        handler.addFilter(name_run)
        handler.addFilter(limit)
    try:
        yield
    finally:
        dropped = max((limit.dropped for limit in handlers.values()), default=0)
        for handler, limit in handlers.items():
            handler.removeFilter(limit)
        if dropped:
            logger.warning("%s more messages came faster than a log can be read, and were left out", f"{dropped:,}")
        for handler in handlers:
            handler.removeFilter(name_run)
