"""A run in Prefect's UI: an artifact a stage that moves, shards that failed or were slow, and the summary at the end.

They are written by a thread of their own: the run does not wait for the server, and does not fail with it.
"""

from __future__ import annotations

import contextvars
import json
import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from dsir_core.runtime.events import Event, ShardFailed, StageEnds
from dsir_core.stages.output_dir import REPORT_PAGE
from dsir_core.stages.run import Run
from flows.watching.live import words_of
from flows.watching.standing import Pace, RunStanding, Standing
from flows.watching.summary_page import summary_markdown

logger = logging.getLogger("dsir_core.prefect")

PROGRESS_SECONDS = 1.0
"""At least so long between two updates of one stage's artifact."""

MAX_ROWS = 100
"""Failed and slow shards that are named."""

FLUSH_SECONDS = 20.0
"""How long the end of a run waits for a server that does not answer."""


class Artifacts:
    """An observer that keeps a flow run's artifacts.

    Args:
        flow_run_id: of the run that they belong to.
    """

    def __init__(self, flow_run_id: UUID) -> None:
        self._writer = _Writer(flow_run_id)
        self._standing = RunStanding()
        self._paces: dict[str, Pace] = {}
        self._rows: list[dict[str, Any]] = []
        self._figures: dict[str, Any] | None = None
        self._report = ""

    def __call__(self, event: Event) -> None:
        """See Observer."""
        stage = self._standing.add(event)
        if isinstance(event, ShardFailed):
            self._add_row(event.stage, event.shard, "failed", event.reason)
        elif isinstance(event, StageEnds):
            for slow in event.slowest:
                self._add_row(event.stage, slow.shard, "slow", f"{slow.seconds:.1f} s, {slow.n_bytes / 1e6:,.1f} MB")
        if stage is not None and stage.of_shards:
            pace = self._paces.setdefault(stage.stage, Pace(PROGRESS_SECONDS))
            if pace.is_due() or stage.is_done:
                self._writer.progress(stage)

    def ends(self, run: Run, figures: dict[str, Any]) -> dict[str, Any]:
        """The run has come to its report; returns its figures."""
        self._figures = figures
        self._report = f"{run.config.redacted().output.rstrip('/')}/{REPORT_PAGE}"
        return figures

    def close(self) -> None:
        """Write what is left, and end the thread."""
        figures, report = self._figures, self._report
        if self._rows:
            shown = sorted(self._rows, key=lambda row: row["what"] != "failed")
            self._writer.put("dsir-shards", "table", json.dumps(shown), "Shards that failed, and the slowest")
        if figures is not None:
            self._writer.put("dsir-summary", "markdown", summary_markdown(figures, report), "What was selected")
            self._writer.put("dsir-report", "markdown", f"[{_cell(report)}]({_link(report)})", "The report of the run")
        self._writer.close()

    def _add_row(self, stage: str, shard: str, what: str, detail: str) -> None:
        if len(self._rows) < MAX_ROWS:
            self._rows.append({"stage": stage, "shard": shard, "what": what, "detail": detail})


@contextmanager
def artifacts(flow_run_id: UUID) -> Iterator[Artifacts]:
    """An observer for the block; a run that fails keeps what was shown until then."""
    found = Artifacts(flow_run_id)
    try:
        yield found
    finally:
        found.close()


class _Writer:
    """The thread that talks to the server. Of a stage's progress only the last matters."""

    def __init__(self, flow_run_id: UUID) -> None:
        self._flow_run_id = flow_run_id
        self._latest: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="dsir-artifacts", daemon=True)
        self._thread.start()

    def progress(self, stage: Standing) -> None:
        with self._lock:
            is_waiting = stage.stage in self._latest
            self._latest[stage.stage] = (round(100 * stage.share, 1), words_of(stage))
        if not is_waiting:
            self._work.put(stage.stage)

    def put(self, key: str, kind: str, data: str, description: str) -> None:
        self._work.put((key, kind, data, description))

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        try:
            with get_client(sync_client=True) as client:
                self._serve(client)
        except Exception as error:
            # The run goes on, and its log says why its artifacts do not.
            logger.warning("Prefect's UI does not show this run's progress: %s: %s", type(error).__name__, error)

    def _serve(self, client: SyncPrefectClient) -> None:
        made: dict[str, UUID] = {}
        while (item := self._work.get()) is not None:
            if isinstance(item, str):
                self._show(client, made, item)
            else:
                key, kind, data, description = item
                self._create(client, key, kind, data, description)

    def _show(self, client: SyncPrefectClient, made: dict[str, UUID], stage: str) -> None:
        with self._lock:
            percent, words = self._latest.pop(stage)
        if stage in made:
            client.update_artifact(made[stage], ArtifactUpdate(data=percent, description=words))
        else:
            made[stage] = self._create(client, f"dsir-{stage}", "progress", percent, words)

    def _create(self, client: SyncPrefectClient, key: str, kind: str, data: Any, description: str) -> UUID:
        artifact = ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=self._flow_run_id)
        return client.create_artifact(artifact).id


def _cell(text: str) -> str:
    return text.replace("[", "\\[").replace("]", "\\]")


def _link(url: str) -> str:
    """A link to the file itself: a bare path would be a page of Prefect's server."""
    whole = url if "://" in url else Path(url).resolve().as_uri()
    return whole.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
