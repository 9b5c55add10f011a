"""One table says what kinds of checkpoints there are: all who deal with them go by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsir_core.checkpoints import kinds
from dsir_core.checkpoints.kinds import KINDS, Kind
from dsir_core.checkpoints.manifest import of_runs, unneeded
from dsir_core.checkpoints.store import Store
from dsir_core.digests import digest
from dsir_core.shards.versions import versions
from flows.cli import main


def test_every_kind_is_in_the_table_once() -> None:
    named = [value for value in vars(kinds).values() if isinstance(value, Kind)]
    assert sorted(kind.folder for kind in named) == sorted(kind.folder for kind in KINDS)
    assert len({kind.folder for kind in KINDS}) == len(KINDS)


def test_a_version_is_part_of_the_key() -> None:
    first, second = (Kind("counts", version, "npy", "") for version in (1, 2))
    assert first.key({"a": 1}) == digest({"format": "counts-v1", "a": 1}) != second.key({"a": 1})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_records_workers_status_and_cleaning_know_the_kind(
    kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert versions()[kind.folder] == f"{kind.folder}-v{kind.version}"
    store = Store(str(tmp_path))
    files = {f"{kind.name('0' * 64)}{suffix}" for suffix in (kind.suffix, kind.complete_suffix)}
    for name in files:
        store.write(name, b"{}")
    assert {entry.name for entry in unneeded(store.entries(), [], before=2e10)[0]} == files
    assert main(["status", str(tmp_path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if f"  {kind.words} " in line)
    assert line.split()[0] == "1"


def test_what_a_killed_write_leaves_is_cleaned_and_foreign_files_are_not(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    names = ["counts/.incoming-x", f"runs/{'0' * 16}/.incoming-x", f"runs/{'0' * 16}/head.json"]
    for name in (*names, "notes/.incoming-x", ".incoming-mine", "counts/notes.txt"):
        store.write(name, b"{}")
    os.utime(tmp_path / "counts" / ".incoming-x", (0, 0))
    assert sorted(entry.name for entry in of_runs(store.entries())) == sorted(names)
