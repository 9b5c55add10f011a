"""Local files that are being written: hidden names, and locks that end with the writing process."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path

from dsir_core.storage.locks import locked, remove_unlocked

INCOMING = ".incoming-"
"""How the names of files that are being written begin."""

_ABANDONED = re.compile(rf"{re.escape(INCOMING)}[a-z0-9_]{{8}}")


def locked_file(folder: Path | None) -> tuple[int, str]:
    """Descriptor and path of a new temporary file, with the lock that shows it is being written."""
    return locked(partial(tempfile.mkstemp, prefix=INCOMING, dir=folder))


def remove_abandoned(folder: Path) -> None:
    """Remove what killed writes have left directly in a folder.

    The lock that a writer holds ends with its process. A file whose lock cannot be asked for is left.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _ABANDONED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            remove_unlocked(path, partial(Path.unlink, missing_ok=True))
