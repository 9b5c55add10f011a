"""A run in Prefect's UI: each stage's progress and its table, and for the run the summary and a link to its page.

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import task_run

from dsir_core.report.formatting import human_seconds
from dsir_core.runtime.events import Event, ShardFailed, StageEnds
from dsir_core.urls import without_credentials
from flows.watching.live import words_of
from flows.watching.standing import Pace, RunStanding, Standing

logger = logging.getLogger("dsir_core.prefect")

PROGRESS_SECONDS = 1.0
"""At least so long between two updates of one stage's artifact."""

ATTEMPTS = 2
"""To write an artifact, beside those of Prefect's client."""

MAX_ROWS = 100
"""Failed and slow shards of a stage that are named."""

FLUSH_SECONDS = 20.0
"""How long the end of a run waits for a server that does not answer."""


Row = dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """An artifact of the flow run, or of a task run of it."""

    key: str
    type: str
    data: Any
    description: str
    task_run_id: UUID | None = None


def table_of(stage: Standing, shards: int) -> list[Row]:
    """What a stage read, reused, asked for again and left out, as rows of a table; without what did not happen."""
    figures = {
        "shards": shards,
        "reused": stage.reused,
        "failed": stage.failed,
        "documents": stage.documents,
        "bad records": stage.bad,
        "bytes read": stage.read_bytes,
        "requests made again": stage.retries,
    }
    rows = [{"what": name, "value": f"{value:,}"} for name, value in figures.items() if value]
    return [*rows, {"what": "time", "value": human_seconds(stage.seconds)}]


class Artifacts:
    """An observer that keeps a flow run's artifacts.

    Args:
        flow_run_id: of the run that they belong to.
    """

    def __init__(self, flow_run_id: UUID) -> None:
        self._writer = _Writer(flow_run_id)
        self._standing = RunStanding()
        self._paces: dict[str, Pace] = {}
        self._named: dict[str, list[Row]] = {}
        self._tasks: dict[str, UUID | None] = {}
        self._summary: tuple[str, str] | None = None

    def __call__(self, event: Event) -> None:
        """See Observer."""
        stage = self._standing.add(event)
        if stage is None:
            return
        if isinstance(event, ShardFailed):
            self._name(stage, "failed shard", f"{event.shard}: {event.reason}")
        elif isinstance(event, StageEnds):
            for slow in event.slowest:
                said = f"{slow.shard}: {slow.seconds:.1f} s, {slow.n_bytes / 1e6:,.1f} MB"
                self._name(stage, "slow shard", said)
        if stage.stage not in self._tasks:
            self._tasks[stage.stage] = _this_task_run()
        pace = self._paces.setdefault(stage.stage, Pace(PROGRESS_SECONDS))
        if pace.is_due() or stage.is_done:
            self._writer.progress(stage, self._tasks[stage.stage])
        if isinstance(event, StageEnds):
            self._table(stage, event.shards)

    def ends(self, summary: str, page: str) -> None:
        """Keep what is shown of the whole run.

        Args:
            summary: Markdown.
            page: where the run's page lies.
        """
        self._summary = (summary, page)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        for stage in self._standing.stages.values():
            if not stage.is_done:
                self._table(stage, stage.shards)
        if self._summary is not None:
            summary, page = self._summary
            self._writer.put(Artifact("dsir-summary", "markdown", summary, "What came of the run"))
            link = f"[{_cell(page)}]({_link(page)})"
            self._writer.put(Artifact("dsir-page", "markdown", link, "The page of the run"))
        self._writer.close()

    def _name(self, stage: Standing, what: str, said: str) -> None:
        rows = self._named.setdefault(stage.stage, [])
        if len(rows) < MAX_ROWS:
            rows.append({"what": what, "value": said})

    def _table(self, stage: Standing, shards: int) -> None:
        """Write the table of a stage that has ended, or that ended the run."""
        rows = table_of(stage, shards) + self._named.get(stage.stage, [])
        said = f"What {stage.stage} did" if stage.is_done else f"What {stage.stage} did before it failed"
        artifact = Artifact(f"dsir-{stage.stage}-table", "table", json.dumps(rows), said, self._tasks[stage.stage])
        self._writer.put(artifact)


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
        self._latest: dict[str, Artifact] = {}
        self._made: dict[str, UUID] = {}
        self._failed = 0
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="dsir-artifacts", daemon=True)
        self._thread.start()

    def progress(self, stage: Standing, task_run_id: UUID | None) -> None:
        key, percent = f"dsir-{stage.stage}", round(100 * stage.share, 1)
        with self._lock:
            is_waiting = key in self._latest
            self._latest[key] = Artifact(key, "progress", percent, words_of(stage), task_run_id)
        if not is_waiting:
            self._work.put(key)

    def put(self, artifact: Artifact) -> None:
        self._work.put(artifact)

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        with get_client(sync_client=True) as client:
            while (item := self._work.get()) is not None:
                self._send(client, item)
        if self._failed > 1:
            logger.warning("%s updates of this run's artifacts failed", f"{self._failed:,}")

    def _note(self, error: Exception) -> None:
        """Log the first failure: the run goes on, and so do the artifacts as soon as the server answers."""
        self._failed += 1
        if self._failed == 1:
            said = without_credentials(str(error))
            logger.warning("an artifact of this run could not be written: %s: %s", type(error).__name__, said)

    def _send(self, client: SyncPrefectClient, item: str | Artifact) -> None:
        """Write an artifact, or the latest of a stage's progress; the last of it has none behind it to make it good."""
        if isinstance(item, str):
            with self._lock:
                item = self._latest.pop(item)
        for _ in range(ATTEMPTS):
            try:
                self._write(client, item)
                return
            except Exception as error:  # whatever it is, the next may succeed
                self._note(error)

    def _write(self, client: SyncPrefectClient, artifact: Artifact) -> None:
        if made := self._made.get(artifact.key):
            client.update_artifact(made, ArtifactUpdate(data=artifact.data, description=artifact.description))
            return
        created = client.create_artifact(ArtifactCreate(**asdict(artifact), flow_run_id=self._flow_run_id))
        if artifact.type == "progress":
            self._made[artifact.key] = created.id


def _this_task_run() -> UUID | None:
    """The task run that this thread is in."""
    return UUID(str(found)) if (found := task_run.id) else None


def _cell(text: str) -> str:
    return text.replace("[", "\\[").replace("]", "\\]")


def _link(url: str) -> str:
    """A link to the file itself: a bare path would be a page of Prefect's server."""
    whole = url if "://" in url else Path(url).resolve().as_uri()
    return whole.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
