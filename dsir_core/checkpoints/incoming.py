"""Local files that are being written: hidden names, and locks that end with the writing process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path

INCOMING = ".incoming-"
"""How the names of files that are being written begin."""

_ABANDONED = re.compile(rf"{re.escape(INCOMING)}[a-z0-9_]{{8}}")


def locked_file(folder: Path | None) -> tuple[int, str]:
    """Descriptor and path of a new temporary file, with the lock that shows it is being written."""
    while True:
        handle, path = tempfile.mkstemp(prefix=INCOMING, dir=folder)
        with contextlib.suppress(OSError):  # a filesystem without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, path
        os.close(handle)  # `remove_abandoned` came in between


def remove_abandoned(folder: Path) -> None:
    """Remove what killed writes have left directly in a folder.

    The lock that a writer holds ends with its process. A file whose lock cannot be asked for is left.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _ABANDONED.fullmatch(path.name) and path.is_file() and not path.is_symlink() and _is_unlocked(path):
            path.unlink(missing_ok=True)


def _is_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
