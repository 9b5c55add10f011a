"""Files that are being written are locked; only what a killed process has left is removed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from dsir_core.checkpoints.incoming import locked_file, remove_abandoned


def test_a_file_that_is_being_written_stays_until_its_writer_has_gone(tmp_path: Path) -> None:
    handle, path = locked_file(tmp_path)
    assert Path(path).parent == tmp_path
    remove_abandoned(tmp_path)
    assert os.path.exists(path)
    os.close(handle)
    remove_abandoned(tmp_path)
    assert not os.path.exists(path)


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    (tmp_path / ".incoming-notes.txt").write_bytes(b"x")
    (tmp_path / ".incoming-folder00").mkdir()
    (tmp_path / ".incoming-link0000").symlink_to(tmp_path / "other")
    before = sorted(tmp_path.iterdir())
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    remove_abandoned(tmp_path / "missing")


def test_what_another_process_has_removed_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".incoming-abcd1234"
    path.write_bytes(b"x")
    monkeypatch.setattr(fcntl, "flock", lambda *_: path.unlink())
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_locked_until_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that has made it, and has not locked it yet, must see that it is gone."""
    path = tmp_path / ".incoming-abcd1234"
    path.write_bytes(b"x")
    unlink = Path.unlink

    def unlink_locked(path: Path, **options: bool) -> None:
        with path.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", unlink_locked)
    remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles: list[int] = []
    lock = fcntl.flock

    def locked(handle: int, how: int) -> None:
        if not handles:
            next(tmp_path.iterdir()).unlink()
        handles.append(handle)
        lock(handle, how)

    closed: list[int] = []
    close = os.close
    monkeypatch.setattr(fcntl, "flock", locked)
    monkeypatch.setattr(os, "close", lambda handle: (closed.append(handle), close(handle)))
    handle, path = locked_file(tmp_path)
    assert [Path(path)] == list(tmp_path.iterdir())
    assert (closed, len(handles)) == (handles[:1], 2)
    close(handle)


def test_a_filesystem_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    handle, path = locked_file(tmp_path)
    os.close(handle)
    remove_abandoned(tmp_path)
    assert os.path.exists(path), "whether it is being written cannot be known"
