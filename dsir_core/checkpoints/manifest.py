"""What each run needs of a workdir: `runs/KEY/` holds, for each output's last run, its head and a list a stage.

A list names the checkpoints that the stage is about, complete or not. From the lists follow what is missing, and what
no run needs any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dsir_core.checkpoints.incoming import INCOMING
from dsir_core.checkpoints.kinds import KINDS, Kind
from dsir_core.checkpoints.store import Entry, Store
from dsir_core.digests import digest
from dsir_core.errors import RunFailedError
from dsir_core.urls import absolute

FOLDER = "runs"
HEAD = "head.json"
KEY_DIGITS = 64

_OURS = re.compile(
    rf"({'|'.join(kind.folder for kind in KINDS)})/([0-9a-f]{{{KEY_DIGITS}}}[.-]|{re.escape(INCOMING)})[^/]*"
    rf"|{FOLDER}/[0-9a-f]{{16}}/[^/]*"
)
"""Names of files that runs write to a workdir."""


class Manifest:
    """The record of one run; a later run to the same output replaces it.

    Args:
        output: where the selection goes, without credentials; recorded as an absolute path where it is local. Empty
            for a run that only scores.
    """

    def __init__(self, store: Store, output: str) -> None:
        self._store = store
        self._output = absolute(output)
        self._folder = f"{FOLDER}/{digest(self._output)[:16]}"
        self._needs: dict[str, bytearray] = {}
        """The list of each stage as it is written."""

    def begin(self) -> None:
        """Say that the run has begun."""
        self._write({"output": self._output, "begun": _now(), "stages": {}})

    def need(self, stage: str, names: Sequence[str]) -> None:
        """Add to the checkpoints that a stage is about.

        Args:
            names: `KIND/KEY`.
        """
        needed = self._needs.setdefault(stage, bytearray())
        needed += "".join(f"{name}\n" for name in names).encode()
        self._store.write(f"{self._folder}/{stage}.txt", bytes(needed))

    def end(self, stages: dict[str, Any]) -> None:
        """Say that the run is complete.

        Args:
            stages: seconds, bytes, shards and reused by stage, as in report.json.
        """
        self._write({"output": self._output, "ended": _now(), "stages": stages})

    def _write(self, head: dict[str, Any]) -> None:
        self._store.write(f"{self._folder}/{HEAD}", json.dumps(head, indent=1).encode())


@dataclass
class Recorded:
    """A run as its record tells it."""

    folder: str
    output: str
    begun: str | None
    ended: str | None
    stages: dict[str, Any]
    needs: dict[str, list[str]] = field(default_factory=dict)
    """`KIND/KEY` by stage."""

    def names(self) -> Iterator[str]:
        """All that the run needs."""
        for names in self.needs.values():
            yield from names


def recorded_runs(store: Store) -> list[Recorded]:
    """The runs of a workdir, by output.

    Raises:
        RunFailedError: the record of a run is damaged, so that what it needs is not known.
    """
    runs: dict[str, Recorded] = {}
    lists: list[tuple[str, str]] = []
    for name in [entry.name for entry in of_runs(store.entries(FOLDER))]:
        folder, _, file = name.rpartition("/")
        if file == HEAD:
            runs[folder] = _recorded(store, name, folder)
        elif file.endswith(".txt"):
            lists.append((folder, name))
    for folder, name in lists:
        if folder in runs:
            stage = name.rpartition("/")[2].removesuffix(".txt")
            runs[folder].needs[stage] = store.read(name).decode().split()
    return sorted(runs.values(), key=lambda run: run.output)


def _recorded(store: Store, name: str, folder: str) -> Recorded:
    try:
        head = json.loads(store.read(name))
        return Recorded(folder, head["output"], head.get("begun"), head.get("ended"), dict(head.get("stages", {})))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunFailedError(
            f"{store.redacted}/{name} is damaged: run the command that wrote it again, or remove the folder "
            f"{store.redacted}/{folder} if its output is of no use any more"
        ) from None


def is_of_a_run(name: str) -> bool:
    """Whether a name below a directory is one that runs write to a workdir."""
    return _OURS.fullmatch(name) is not None


def of_runs(entries: Sequence[Entry]) -> list[Entry]:
    """The files that runs have written: an output may lie in a workdir, too, or whatever its owner has put there."""
    return [entry for entry in entries if is_of_a_run(entry.name)]


def unneeded(entries: Sequence[Entry], runs: Sequence[Recorded], *, before: float) -> tuple[list[Entry], list[Entry]]:
    """What no run needs: files last written before a time, and younger ones, which a run that goes on may need.

    Args:
        entries: of the workdir; those that no run has written are left out.
        before: seconds since 1970.
    """
    kept = {name for run in runs for name in run.names()}
    folders = {run.folder for run in runs}

    def is_kept(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        return checkpoint_of(name) in kept or (folder in folders and not file.startswith(INCOMING))

    found = [entry for entry in of_runs(entries) if not is_kept(entry.name)]
    return [entry for entry in found if entry.modified < before], [entry for entry in found if entry.modified >= before]


def checkpoint_of(name: str) -> str:
    """`KIND/KEY` of a file of a checkpoint: its data, its receipt, or one of an extract's files."""
    kind, _, rest = name.partition("/")
    return f"{kind}/{rest[:KEY_DIGITS]}"


def complete_checkpoints(store: Store, *kinds: Kind) -> set[str]:
    """`KIND/KEY` of the checkpoints of some kinds that are complete, by the names of their files."""
    return {
        checkpoint_of(entry.name)
        for kind in kinds
        for entry in store.entries(kind.folder)
        if entry.name.endswith(kind.complete_suffix)
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
