"""A run as lines: in words with the time for logs, or as JSON objects for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dsir_core.runtime.events import Event, Note, ShardFailed, StageBegins, StageEnds
from flows.watching.live import words_of
from flows.watching.standing import Clock, Pace, RunStanding, Standing

WORDS_SECONDS = 10.0
"""At least so long between two lines in words on one stage's progress."""

JSON_SECONDS = 1.0


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class PlainLines:
    """An observer that writes lines with the time to standard error: where nobody watches, but a log is kept."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._standing = RunStanding(clock)
        self._pace = Pace(WORDS_SECONDS, clock)

    def __call__(self, event: Event) -> None:
        """See Observer."""
        stage = self._standing.add(event)
        if isinstance(event, Note):
            self.say(f"note: {event.text}")
        elif isinstance(event, ShardFailed):
            self.say(f"{event.stage}: {event.shard} failed: {event.reason}")
        elif isinstance(event, StageBegins):
            self._pace.rest()
        elif stage is not None and isinstance(event, StageEnds):
            if stage.of_shards:
                self.say(f"{stage.stage}: done, {words_of(stage)}")
        elif stage is not None and self._pace.is_due():
            self.say(f"{stage.stage}: {words_of(stage)}")

    @staticmethod
    def say(text: str) -> None:
        """Write one line, with the time."""
        print(f"{now()} {text}", file=sys.stderr, flush=True)


class JsonLines:
    """An observer that writes one JSON object a line; the keys are told in docs/watching.md.

    Args:
        write: takes a line without its end.
    """

    def __init__(self, write: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._write = write
        self._standing = RunStanding(clock)
        self._pace = Pace(JSON_SECONDS, clock)

    def __call__(self, event: Event) -> None:
        """See Observer."""
        stage = self._standing.add(event)
        if isinstance(event, Note):
            self.say("note", text=event.text)
        elif isinstance(event, ShardFailed):
            self.say("shard_failed", stage=event.stage, shard=event.shard, reason=event.reason)
        elif isinstance(event, StageBegins):
            self._pace.rest()
            self.say("stage_begins", stage=event.stage, shards=event.shards, bytes=event.n_bytes)
        elif stage is not None and isinstance(event, StageEnds):
            self.say("stage_ends", **_figures(stage))
        elif stage is not None and self._pace.is_due():
            self.say("progress", **_figures(stage))

    def say(self, event: str, **values: Any) -> None:
        """Write one object: the time, what it tells, and its values."""
        self._write(json.dumps({"time": now(), "event": event, **values}, ensure_ascii=False))


def _figures(stage: Standing) -> dict[str, Any]:
    left = stage.seconds_left
    return {
        "stage": stage.stage,
        "shards": stage.shards,
        "of_shards": stage.of_shards,
        "reused": stage.reused,
        "bytes": stage.n_bytes,
        "of_bytes": stage.of_bytes,
        "documents": stage.documents,
        "bad": stage.bad,
        "failed": stage.failed,
        "retries": stage.retries,
        "passes": stage.passes,
        "seconds": round(stage.seconds, 3),
        "seconds_left": None if left is None or stage.is_done else round(left, 1),
    }
