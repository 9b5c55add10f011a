"""The live view of a run on a terminal: a line a stage, drawn anew a few times a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from dsir_core.report.formatting import counted, human_seconds
from dsir_core.runtime.events import Event, Note, Observer, ShardFailed, StageEnds
from flows.watching.standing import RunStanding, Standing

BAR_WIDTH = 12
BESIDE_WORDS = 9 + 1 + BAR_WIDTH + 1 + 4 + 1
"""Columns of the line before its words: stage, bar and percentage, with a space behind each."""

LEAST_FIRST = ("requests again", "reused", "documents", "pass", "speed", "shards")
"""What is left out of a line that is too long, in this order."""


@contextmanager
def live_view(console: Console | None = None) -> Iterator[Observer]:
    """An observer that draws on a console, by default on standard error, for the block."""
    console = console or Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=BAR_WIDTH),
        TextColumn("{task.percentage:>3.0f}%"),
        _Words(console),
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
    """Shards, documents, speed, time left, and what went wrong, as far as the line has room for them."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """See rich."""
        room = self._console.width - BESIDE_WORDS
        return Text(words_of(task.fields["standing"], room), no_wrap=True, overflow="ellipsis")


def words_of(stage: Standing, room: int | None = None) -> str:
    """A stage in one line: `12 of 80 shards, 1,234 documents, 345 MB/s, 20 s left, 3 bad, 1 retry`.

    Args:
        room: characters; what matters least is left out where there is not enough. None for as many as it takes.
    """
    parts: dict[str, str] = {}
    if stage.of_shards:
        parts["shards"] = f"{stage.shards:,} of {counted(stage.of_shards, 'shard')}"
    if stage.passes and not stage.shards:
        parts["pass"] = f"pass {stage.passes} over the weights: {stage.pass_shards:,} of {stage.of_pass_shards:,}"
    if stage.documents:
        parts["documents"] = counted(stage.documents, "document")
    if stage.read_bytes and stage.seconds:
        parts["speed"] = f"{stage.bytes_per_second / 1e6:,.0f} MB/s"
    if stage.is_done:
        parts["time"] = human_seconds(stage.seconds)
    elif stage.seconds_left is not None:
        parts["time"] = f"{human_seconds(stage.seconds_left)} left"
    events = {"reused": stage.reused, "bad": stage.bad, "failed": stage.failed, "requests again": stage.retries}
    parts |= {words: f"{n:,} {words}" for words, n in events.items() if n}
    for least in LEAST_FIRST:
        if room is None or len(", ".join(parts.values())) <= room:
            break
        parts.pop(least, None)
    return ", ".join(parts.values())
