"""A limit on how fast warnings reach a run's log: thousands of workers may have the same complaint."""

from __future__ import annotations

import logging
import time

from flows.watching.standing import Clock

AT_ONCE = 50
PER_SECOND = 1.0


class Limit(logging.Filter):
    """Lets so many records pass at once, and then so many a second; the others are counted.

    Args:
        clock: seconds.
    """

    def __init__(self, at_once: int = AT_ONCE, per_second: float = PER_SECOND, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._at_once, self._per_second, self._clock = at_once, per_second, clock
        self._left, self._asked = float(at_once), clock()
        self.dropped = 0
        """Records that did not pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._asked) * self._per_second)
        self._asked = now
        if self._left < 1:
            self.dropped += 1
            return False
        self._left -= 1
        return True
