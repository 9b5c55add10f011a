"""Whether a run may read and write where it must, and has the room."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsir_core.checkpoints.store import Store
from dsir_core.corpus.source import open_source
from dsir_core.errors import DsirError
from dsir_core.report.formatting import human_bytes
from dsir_core.stages.output_dir import check_output
from dsir_core.stages.plan import PlannedCorpus
from dsir_core.stages.run import Run
from dsir_core.storage.connect import connect
from dsir_core.urls import is_local, without_credentials


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    what: str
    ok: bool
    detail: str = ""
    """Why not, or what was found."""


def check(what: str, action: Callable[[], str]) -> Check:
    """A check by an action that returns what it has found, or fails."""
    try:
        return Check(what, True, action())
    except Exception as error:  # each kind of storage has its own
        kind = "" if isinstance(error, DsirError) else f"{type(error).__name__}: "
        return Check(what, False, without_credentials(" ".join(f"{kind}{error}".split())))


def check_read(what: str, corpus: PlannedCorpus) -> Check:
    """Whether the first file of a corpus opens, and is what its name says."""

    def opens() -> str:
        with open_source(corpus.corpus.files[0]):
            return without_credentials(corpus.corpus.root)

    return check(f"read {what}", opens)


def check_write(what: str, url: str) -> Check:
    """Whether a file can be written at a URL; it is removed again, and so are folders made for it."""

    def writes() -> str:
        store = Store(url)
        name = f".dsir-check-{uuid.uuid4().hex}"
        made = _missing_folders(store)
        try:
            store.write(name, b"dsir plan")
            store.remove(name)
        finally:
            for folder in made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        return store.redacted

    return check(f"write {what}", writes)


def check_output_free(run: Run) -> Check:
    """Whether the output is free for a selection, or may be replaced."""

    def is_free() -> str:
        check_output(run)
        return "what is there will be replaced" if run.config.overwrite else "no selection is there"

    return check("output free", is_free)


def check_room(wanted: dict[str, float]) -> list[Check]:
    """Whether local disks have room for what is written to them.

    Args:
        wanted: bytes by URL.
    """
    needed: dict[int, float] = {}
    free: dict[int, int] = {}
    for url, n_bytes in wanted.items():
        filesystem, path = connect(url)
        if not is_local(filesystem):
            continue
        folder = _existing(Path(path))
        device = os.stat(folder).st_dev
        needed[device] = needed.get(device, 0.0) + n_bytes
        free[device] = shutil.disk_usage(folder).free
    return [
        Check(
            "free disk",
            free[device] > needed[device],
            f"{human_bytes(needed[device])} needed, about; {human_bytes(free[device])} free",
        )
        for device in needed
    ]


def _missing_folders(store: Store) -> list[Path]:
    """Folders that writing to a local store makes, the innermost first."""
    filesystem, path = connect(store.url)
    if not is_local(filesystem):
        return []
    folder = Path(path)
    existing = _existing(folder)
    return [each for each in (folder, *folder.parents) if each not in (existing, *existing.parents)]


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())
