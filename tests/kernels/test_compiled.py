"""Compiled functions run wherever they are, and their machine code is kept wherever it can be."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dsir_core.kernels.compiled import is_kept

ROOT = Path(__file__).parents[2]
SOURCE = """
from dsir_core.kernels.compiled import compiled

@compiled()
def double(x):
    return 2 * x
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Import a compiled function anew, as another process would; its home and its temporary directory are empty."""
    source = tmp_path / "package" / "module.py"
    source.parent.mkdir()
    source.write_text(SOURCE)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def imported() -> Any:
        specification = importlib.util.spec_from_file_location("module", source)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module.double

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return imported


def test_whether_code_is_kept_is_known_without_compiling(load: Callable[[], Any]) -> None:
    function = load()
    assert not is_kept(function)
    function(1)
    assert is_kept(load())


def refuse(directory: Path) -> None:
    """Make a directory that cannot be: not even root writes into a file."""
    directory.write_text("no directory")


def kept(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.nbc"))


def hits(function: Any) -> int:
    return sum(function.stats.cache_hits.values())


def test_code_is_kept_beside_the_source(load: Callable[[], Any], tmp_path: Path) -> None:
    assert load()(2) == 4
    assert len(kept(tmp_path / "package")) == 1
    again = load()
    assert (again(2), hits(again)) == (4, 1)


def test_code_is_kept_in_the_home_of_a_user_who_may_not_write_the_installation(
    load: Callable[[], Any], tmp_path: Path
) -> None:
    refuse(tmp_path / "package" / "__pycache__")
    assert load()(2) == 4
    assert len(kept(tmp_path / "home")) == 1
    again = load()
    assert (again(2), hits(again)) == (4, 1)


def test_code_is_kept_in_a_private_temporary_directory_where_the_home_is_read_only(
    load: Callable[[], Any], tmp_path: Path
) -> None:
    refuse(tmp_path / "package" / "__pycache__")
    refuse(tmp_path / "home")
    assert load()(2) == 4
    assert len(kept(tmp_path / "tmp")) == 1
    (private,) = (tmp_path / "tmp").iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    again = load()
    assert (again(2), hits(again)) == (4, 1)


@pytest.mark.parametrize("kind", ["open to others", "a link"])
def test_no_code_is_loaded_from_a_temporary_directory_that_others_may_write(
    load: Callable[[], Any], tmp_path: Path, kind: str
) -> None:
    refuse(tmp_path / "package" / "__pycache__")
    refuse(tmp_path / "home")
    private = tmp_path / "tmp" / f"dsir-kernels-{os.getuid()}"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(tmp_path / "elsewhere")
    else:
        private.mkdir()
        private.chmod(0o777)
    assert load()(2) == 4
    assert not kept(tmp_path)


def test_where_nothing_can_be_written_each_process_compiles(load: Callable[[], Any], tmp_path: Path) -> None:
    refuse(tmp_path / "package" / "__pycache__")
    refuse(tmp_path / "home")
    (tmp_path / "tmp").rmdir()
    refuse(tmp_path / "tmp")
    assert load()(2) == 4
    assert not kept(tmp_path)


@contextmanager
def nothing_writable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from numba.core import caching

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(caching._CacheLocator, "ensure_cache_path", read_only)
        patch.setattr(caching.IndexDataCacheFile, "_save_index", read_only)
        yield


def test_code_that_came_with_the_installation_is_loaded_where_nothing_can_be_written(
    load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load()(2) == 4
    before = kept(tmp_path)
    with nothing_writable(monkeypatch):
        again = load()
        assert (again(2), hits(again)) == (4, 1)
        assert again(2.5) == 5.0  # of another type: compiled, not kept
    assert kept(tmp_path) == before


def test_code_that_came_with_the_installation_is_loaded_where_another_directory_is_named(
    load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load()(2) == 4
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "named"))
    again = load()
    assert (again(2), hits(again)) == (4, 1)
    assert again(2.5) == 5.0
    assert len(kept(tmp_path / "named")) == 1


def test_a_full_disk_is_no_error(load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    assert load()(2) == 4


def test_code_is_compiled_anew_when_another_of_its_sources_has_changed(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load()(2) == 4
    monkeypatch.setattr("dsir_core.kernels.compiled.sources_digest", lambda *packages: "another")
    again = load()
    assert (again(2), hits(again)) == (4, 0)


def test_code_of_other_versions_of_numba_is_neither_loaded_nor_overwritten(
    load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load()(2) == 4
    first = {path: path.read_bytes() for path in (tmp_path / "package").rglob("*.nb?")}
    with monkeypatch.context() as other:
        other.setattr("numba.__version__", "0.0.1")
        function = load()
        assert (function(2), hits(function)) == (4, 0)
    assert {path: path.read_bytes() for path in first} == first
    again = load()
    assert (again(2), hits(again)) == (4, 1)


def test_every_compiled_function_is_kept_this_way() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "dsir_core").rglob("*.py")}
    assert not [path for path, text in sources.items() if "cache=True" in text]


@pytest.mark.long
def test_shards_are_worked_on_where_the_whole_file_system_is_read_only() -> None:
    program = (
        "import dsir_core.shards.extract, dsir_core.shards.score, numpy;"
        "from dsir_core.model.noise import log_exact;"
        "print(log_exact(numpy.ones(1)))"
    )
    # A mount namespace of its own; --map-root-user allows one to a user who is not root.
    script = 'mount -t tmpfs tmpfs /mnt && mount -o remount,ro,bind / && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, sys.executable, program],
        env={**os.environ, "TMPDIR": "/mnt", "HOME": "/nonexistent"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "[0.]\n"), done.stderr
