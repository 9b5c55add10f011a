"""Whether somebody still waits for what this thread works at: asked between batches, and before a file appears."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dsir_core.errors import WorkCancelledError

_ASKED = threading.local()


@contextmanager
def cancellable(wanted: Callable[[], bool] | None) -> Iterator[None]:
    """Let `check_cancelled` ask `wanted` in this thread, inside the block; None: all is wanted."""
    before = getattr(_ASKED, "wanted", None)
    _ASKED.wanted = wanted
    try:
        yield
    finally:
        _ASKED.wanted = before


def check_cancelled() -> None:
    """Return where the work of this thread is wanted.

    Raises:
        WorkCancelledError: it was cancelled, or is done elsewhere already.
    """
    wanted: Callable[[], bool] | None = getattr(_ASKED, "wanted", None)
    if wanted is not None and not wanted():
        raise WorkCancelledError(
            "nobody waits for this work any more: the run was cancelled, or another worker was faster"
        )
