"""The server that `make serve` keeps running, as the commands of the same user find it: a file with mode 600.

Whoever serves holds a lock on the file; the kernel releases it however that process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from flows.prefect_settings import own_folder

FILE = "serve.json"

LOCK_TRIES = 20
"""A command that looks holds a shared lock for a moment."""


@dataclass(frozen=True)
class ServedApi:
    """A Prefect server of this user's."""

    url: str
    """Of its API."""
    version: str
    """Of Prefect."""
    pid: int
    """Of the process that keeps it running."""
    auth: str | None = field(default=None, repr=False)
    """What its clients send as PREFECT_API_AUTH_STRING, if it asks for it."""
    host: str = field(default_factory=socket.gethostname)
    """A home directory may be shared by hosts, a loopback address is not."""


@contextmanager
def announced(api: ServedApi) -> Iterator[bool]:
    """Let this user's commands find a server, for the block; yields False where another one is announced already."""
    folder = own_folder()
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(file):
            yield False
            return
        os.fchmod(file, 0o600)
        os.ftruncate(file, 0)
        os.write(file, json.dumps(asdict(api)).encode())
        try:
            yield True
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def served_api() -> ServedApi | None:
    """The server that is announced on this host by a process of this user that still runs."""
    try:
        file = os.open(own_folder() / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077 or _is_free(file):
            return None
        content = os.read(file, 10_000)
    finally:
        os.close(file)
    try:
        found = ServedApi(**json.loads(content))
    except (ValueError, TypeError):
        return None  # it begins or ends just now
    return found if found.host == socket.gethostname() else None


def _lock(file: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _is_free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
