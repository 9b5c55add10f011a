"""The live view of a run on a terminal: a line a stage, drawn anew a few times a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from dsir_core.report.formatting import human_seconds
from dsir_core.runtime.events import Event, Note, Observer, ShardFailed, StageEnds
from flows.watching.standing import RunStanding, Standing


@contextmanager
def live_view() -> Iterator[Observer]:
    """An observer that draws on standard error, for the block."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        _Words(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._standing = RunStanding()
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        stage = self._standing.add(event)
        if isinstance(event, Note | ShardFailed):
            words = event.text if isinstance(event, Note) else f"{event.stage}: {event.shard}: {event.reason}"
            self._progress.console.print(Text(words, style="yellow"))
        if stage is None or (isinstance(event, StageEnds) and stage.stage not in self._tasks):
            return  # a stage without shards, over before it could be shown
        if stage.stage not in self._tasks:
            self._tasks[stage.stage] = self._progress.add_task(stage.stage, total=1.0, standing=stage)
        self._progress.update(self._tasks[stage.stage], completed=stage.share, standing=stage)


class _Words(ProgressColumn):
    """Shards, documents, speed, time left, and what went wrong."""

    def render(self, task: Task) -> Text:
        """See rich."""
        return Text(words_of(task.fields["standing"]))


def words_of(stage: Standing) -> str:
    """A stage in one line: `12 of 80 shards, 1,234 documents, 345 MB/s, 20 s left, 3 bad, 1 retry`."""
    parts = [f"{stage.shards:,} of {stage.of_shards:,} shards"] if stage.of_shards else []
    if stage.passes and not stage.shards:
        parts.append(f"pass {stage.passes} over the weights: {stage.pass_shards:,} of {stage.of_pass_shards:,}")
    if stage.documents:
        parts.append(f"{stage.documents:,} documents")
    if stage.read_bytes and stage.seconds:
        parts.append(f"{stage.bytes_per_second / 1e6:,.0f} MB/s")
    if stage.is_done:
        parts.append(human_seconds(stage.seconds))
    elif stage.seconds_left is not None:
        parts.append(f"{human_seconds(stage.seconds_left)} left")
    parts += [f"{stage.reused:,} reused"] if stage.reused else []
    parts += [f"{stage.bad:,} bad"] if stage.bad else []
    parts += [f"{stage.failed:,} failed"] if stage.failed else []
    parts += [f"{stage.retries:,} requests again"] if stage.retries else []
    return ", ".join(parts)
