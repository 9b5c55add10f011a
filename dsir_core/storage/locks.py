"""Local files and folders that are locked while their process lives: what killed ones have left is not."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def locked(make: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """Descriptor and path of a new file or folder; it is locked until the descriptor is closed.

    Args:
        make: makes it under a name of its own, and opens it.
    """
    while True:
        descriptor, path = make()
        with contextlib.suppress(OSError):  # a filesystem without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return descriptor, path
        os.close(descriptor)  # `remove_unlocked` came in between


def remove_unlocked(path: Path, remove: Callable[[Path], object]) -> None:
    """Remove a file or folder, unless it is locked, or its lock cannot be asked for.

    Args:
        path: no link.
        remove: removes it, while the lock is held: a process that has just made it waits, and sees that it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return  # gone, or of another user
    try:
        if _takes_lock(descriptor):
            remove(path)
    finally:
        os.close(descriptor)


def _takes_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
