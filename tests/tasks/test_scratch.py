"""What a cluster on this machine keeps in the temporary directory, and who removes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import scratch

REPOSITORY = Path(__file__).parents[2]
PROGRAM = textwrap.dedent("""
    import os, sys
    from tasks.cluster import local_cluster

    if __name__ == "__main__":
        for _ in range(2):
            with local_cluster(1) as client:
                worker = client.submit(os.getpid).result()
        print(worker, flush=True)
        if sys.argv[1:] == ["wait"]:
            with local_cluster(1) as client:
                print(client.submit(os.getpid).result(), flush=True)
                sys.stdin.read()
    """)


def start(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def short() -> Path:
    """An empty temporary directory whose name leaves room for those of sockets."""
    with tempfile.TemporaryDirectory(prefix="d") as folder:
        yield Path(folder)


def test_clusters_leave_nothing_and_the_next_run_removes_what_a_killed_one_left(short: Path) -> None:
    killed = start(short, "wait")
    assert killed.stdout
    assert killed.stdout.readline()
    worker = psutil.Process(int(killed.stdout.readline()))
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    worker.wait(60)
    assert list(short.iterdir()), "nothing was left to remove"
    output, errors = start(short).communicate(timeout=120)
    assert output, errors
    assert list(short.iterdir()) == []


def test_a_temporary_directory_with_a_long_name_is_not_used_for_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    output, errors = start(long).communicate(timeout=120)
    assert output.strip().isdigit(), errors


def test_a_folder_in_use_is_left_alone(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    mine, descriptor = scratch.locked_folder(short)
    (mine / "file").touch()
    abandoned, elsewhere = short / f"{scratch.PREFIX}abandoned", short / "other"
    for folder in (abandoned, elsewhere):
        folder.mkdir()
        (folder / "file").touch()
    (short / f"{scratch.PREFIX}link").symlink_to(elsewhere)
    scratch.remove_abandoned(short)
    assert sorted(path.name for path in short.iterdir()) == sorted([mine.name, "other", f"{scratch.PREFIX}link"])
    assert (elsewhere / "file").exists()
    os.close(descriptor)
    scratch.remove_abandoned(short)
    assert not mine.exists()


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = tempfile.mkdtemp

    def make_once(**where: Any) -> str:
        made.append(make(**where))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make_once)
    folder, descriptor = scratch.locked_folder(short)
    os.close(descriptor)
    assert [folder] == list(short.iterdir()) == [Path(made[1])]
