"""Where a run stands, added up from its events; what every view of it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dsir_core.runtime.events import (
    Event,
    PassAdvances,
    PassBegins,
    Retried,
    ShardDone,
    ShardFailed,
    StageBegins,
    StageEnds,
)

Clock = Callable[[], float]


@dataclass
class Standing:
    """Where one stage stands."""

    stage: str
    begun: float
    of_shards: int = 0
    of_bytes: int = 0
    """Stored bytes of all shards; 0 where bytes mean nothing."""
    shards: int = 0
    reused: int = 0
    n_bytes: int = 0
    """Stored bytes of the shards that are done."""
    read_bytes: int = 0
    """Stored bytes that were really read."""
    documents: int = 0
    bad: int = 0
    failed: int = 0
    retries: int = 0
    passes: int = 0
    """Passes of the threshold search that have begun."""
    pass_shards: int = 0
    """Done in the pass under way."""
    of_pass_shards: int = 0
    seconds: float = 0.0
    """Since it began, or that it took."""
    is_done: bool = False

    @property
    def share(self) -> float:
        """From 0 to 1: how much of it is done, by bytes where they are known."""
        if self.is_done:
            return 1.0
        if self.passes and not self.shards:
            return 0.0  # how many passes follow is not known
        done, whole = (self.n_bytes, self.of_bytes) if self.of_bytes else (self.shards, self.of_shards)
        return min(1.0, done / whole) if whole else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Stored bytes that were really read."""
        return self.read_bytes / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """If it goes on like this; None before there is anything to go by.

        The first shards may be those of a small target, which tell nothing of the speed on large ones.
        """
        share = self.share
        if share <= 0 or (share < ENOUGH_SHARE and self.seconds < ENOUGH_SECONDS):
            return None
        return self.seconds * (1 - share) / share


ENOUGH_SHARE, ENOUGH_SECONDS = 0.05, 10.0
"""The time left is told when so much of a stage is done, or it has taken so long."""


@dataclass
class RunStanding:
    """Where a run stands: its stages in the order in which they began.

    Args:
        clock: seconds, for how long stages take.
    """

    clock: Clock = time.monotonic
    stages: dict[str, Standing] = field(default_factory=dict)
    current: Standing | None = None
    retries: int = 0

    def add(self, event: Event) -> Standing | None:
        """Take note of an event; the stage that it is about, if any."""
        name = getattr(event, "stage", None)
        if name is None:
            if isinstance(event, Retried):
                self._retried(event.requests)
            return self.current if isinstance(event, Retried) else None
        now = self.clock()
        if isinstance(event, StageBegins):
            # A stage that is entered again begins anew.
            self.stages[name] = Standing(name, now, event.shards, event.n_bytes)
        stage = self.stages.setdefault(name, Standing(name, now))
        self.current = stage
        stage.seconds = now - stage.begun
        _count(stage, event)
        return stage

    def _retried(self, requests: int) -> None:
        self.retries += requests
        if self.current is not None:
            self.current.retries += requests


def _count(stage: Standing, event: Event) -> None:
    if isinstance(event, ShardDone):
        stage.shards += 1
        stage.reused += event.reused
        stage.n_bytes += event.n_bytes
        stage.read_bytes += 0 if event.reused else event.n_bytes
        stage.documents += event.documents
        stage.bad += event.bad
    elif isinstance(event, ShardFailed):
        stage.failed += 1
    elif isinstance(event, PassBegins):
        stage.passes += 1
        stage.pass_shards, stage.of_pass_shards = 0, event.shards
    elif isinstance(event, PassAdvances):
        stage.pass_shards += 1
    elif isinstance(event, StageEnds):
        stage.is_done, stage.seconds = True, event.seconds
        stage.reused, stage.retries = event.reused, event.retries


class Pace:
    """Says when it is time again: at once at first, then not before some seconds have passed."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        """Whether it is time; if so, the next time is so many seconds away."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True

    def rest(self) -> None:
        """The next time is so many seconds away."""
        self._next = self._clock() + self._seconds
