"""The folder for temporary files of the clusters of this process: gone when the process ends.

What a killed process leaves goes with the next run: a process locks its folder, and the lock ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

from dsir_core.errors import RequestError
from dsir_core.storage.locks import locked, remove_unlocked

PREFIX = "dsir-dask-"
LONGEST_BASE = 65
"""Bytes of a directory's name: that of a Unix socket has at most 107, and up to 37 of them are ours and Python's."""


def scratch_folder() -> Path:
    """The folder of this process, made at the first call.

    Raises:
        RequestError: there is no directory for it.
    """
    return _folder_of(os.getpid())


@functools.cache
def _folder_of(process: int) -> Path:
    base = _base()
    remove_abandoned(base)
    folder, _ = locked_folder(base)  # the descriptor, and with it the lock, stays open until the process ends
    # Python's fork server listens on a socket in this directory, and would make one that a kill leaves behind.
    multiprocessing.current_process()._config.setdefault("tempdir", str(folder))  # type: ignore[attr-defined]
    atexit.register(_remove, folder, process)
    return folder


def remove_scratch_folder() -> None:
    """Remove the folder of this process, if there is one: for an end by `os._exit`, which passes over `atexit`."""
    if _folder_of.cache_info().currsize:
        _remove(scratch_folder(), os.getpid())


def _base() -> Path:
    named = tempfile.gettempdir()
    for base in dict.fromkeys([named, "/tmp", "/var/tmp"]):
        if len(os.fsencode(base)) <= LONGEST_BASE and os.access(base, os.W_OK | os.X_OK):
            return Path(base)
    raise RequestError(
        f"the name of the temporary directory {named} is longer than {LONGEST_BASE} bytes, too long for Unix sockets, "
        f"and /tmp cannot be written: set TMPDIR to a directory with a shorter name"
    )


def locked_folder(base: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    descriptor, folder = locked(lambda: _new_folder(base))
    return Path(folder), descriptor


def _new_folder(base: Path) -> tuple[int, str]:
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        with contextlib.suppress(FileNotFoundError):  # `remove_abandoned` came in between
            return os.open(folder, os.O_RDONLY), folder


def remove_abandoned(base: Path) -> None:
    """Remove folders of this user whose processes have ended. One whose lock cannot be asked for is left."""
    for folder in base.glob(f"{PREFIX}*"):
        if folder.is_dir() and not folder.is_symlink() and _is_of_this_user(folder):
            remove_unlocked(folder, functools.partial(shutil.rmtree, ignore_errors=True))


def _is_of_this_user(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
