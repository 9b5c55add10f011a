"""What the terminal shows of a run: a bar a stage with shards, documents, MB/s and time left; else only warnings."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from dsir_core.progress import Event, Note, Observer, ShardDone, ShardFailed, StageBegins, StageEnds


@contextmanager
def terminal_observer() -> Iterator[Observer]:
    """An observer for this terminal; when standard error is none, warnings are the only lines."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _warn
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[shards]:>7,} shards {task.fields[documents]:>12,} documents"),
        _Throughput(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


def _warn(event: Event) -> None:
    if isinstance(event, Note):
        print(f"note: {event.text}", file=sys.stderr)
    elif isinstance(event, ShardFailed):
        print(f"{event.stage}: {event.shard} failed: {event.reason}", file=sys.stderr)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        progress = self._progress
        if isinstance(event, StageBegins):
            total = event.n_bytes or event.shards or 1
            self._tasks[event.stage] = progress.add_task(
                event.stage, total=total, shards=0, documents=0, bad=0, read=0, begin=time.monotonic()
            )
        elif isinstance(event, ShardDone):
            self._advance(event)
        elif isinstance(event, StageEnds) and event.stage in self._tasks:
            task = progress.tasks[self._tasks[event.stage]]
            progress.update(task.id, completed=task.total)
        elif isinstance(event, Note | ShardFailed):
            words = event.text if isinstance(event, Note) else f"{event.stage}: {event.shard}: {event.reason}"
            progress.console.print(Text(words, style="yellow"))

    def _advance(self, event: ShardDone) -> None:
        task = self._progress.tasks[self._tasks[event.stage]]
        fields = task.fields
        self._progress.update(
            task.id,
            advance=event.n_bytes or 1,
            shards=fields["shards"] + 1,
            documents=fields["documents"] + event.documents,
            bad=fields["bad"] + event.bad,
            read=fields["read"] + (0 if event.reused else event.n_bytes),
        )


class _Throughput(ProgressColumn):
    """Stored MB a second that were really read, and bad records."""

    def render(self, task: Task) -> Text:
        """See rich."""
        seconds = task.finished_time or task.elapsed or 0
        speed = f"{task.fields['read'] / seconds / 1e6:8.1f} MB/s" if seconds else ""
        bad = task.fields["bad"]
        return Text(speed + (f" {bad:,} bad" if bad else ""))
