"""Waiting for what another thread, process or host does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(reached: Callable[[], Any], seconds: float = 180.0) -> Any:
    """What a condition gives as soon as it holds; the patience is no test's promise."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline, "what was waited for never came"
        time.sleep(0.1)
    return found
