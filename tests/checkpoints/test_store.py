"""A checkpoint is complete or not there; damage is found; nothing half-written appears under a final name."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from dsir_core.checkpoints.receipts import Receipt, sealed, unsealed
from dsir_core.checkpoints.store import Store, _modified, _umask
from dsir_core.digests import digest
from dsir_core.errors import WorkCancelledError
from dsir_core.runtime.cancellation import cancellable
from dsir_core.storage.retries import collect_effects


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "work") if request.param == "local" else f"memory://{tmp_path.name}/work")


def fill(store: Store, key: str = "k") -> None:
    summary = {"n": 1}
    with store.checkpoint("counts", key, ".bin", summary) as draft:
        draft.stream.write(b"data")
        summary["n"] = 2


def test_a_checkpoint_comes_back_with_its_summary(store: Store) -> None:
    assert store.receipt("counts", "k") is None
    fill(store)
    receipt = store.receipt("counts", "k")
    assert receipt is not None
    assert (receipt.summary, receipt.n_bytes) == ({"n": 2}, 4)
    assert store.intact("counts", "k") == receipt
    assert store.load("counts", "k") == (receipt, b"data")
    assert store.read(receipt.name) == b"data"
    assert store.names() == ["counts/k.bin", "counts/k.json"]


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.checkpoint("counts", "k", ".bin", {}) as draft:
            draft.stream.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert store.names() == []
    assert store.receipt("counts", "k") is None


@pytest.mark.parametrize("damage", ["gone", "short", "receipt"])
def test_a_checkpoint_with_a_missing_half_is_not_complete(store: Store, damage: str) -> None:
    fill(store)
    if damage == "gone":
        store.remove("counts/k.bin")
    elif damage == "short":
        store.write("counts/k.bin", b"dat")
    else:
        store.write("counts/k.json", b'{"kind": "cou')
    with collect_effects() as effects:
        assert store.receipt("counts", "k") is None
    assert len(effects.warnings) == 1
    assert "counts/k" in effects.warnings[0]


def test_a_flipped_byte_is_found_and_said(store: Store) -> None:
    fill(store)
    store.write("counts/k.bin", b"dbta")
    with collect_effects() as effects:
        assert store.intact("counts", "k") is None
        assert store.load("counts", "k") is None
    assert ["counts/k.bin is damaged" in warning for warning in effects.warnings] == [True, True]


def test_no_byte_of_a_receipt_can_change_unseen(store: Store) -> None:
    fill(store)
    whole = store.read("counts/k.json")
    for at in range(len(whole)):
        store.write("counts/k.json", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = store.receipt("counts", "k")
        assert found is None or whole[at : at + 1].isspace(), whole[at - 20 : at + 20]


def test_a_receipt_of_another_checkpoint_proves_nothing(store: Store) -> None:
    fill(store)
    fill(store, "other")
    store.write("counts/k.json", store.read("counts/other.json"))
    assert store.receipt("counts", "k") is None


def test_receipts_are_small_json(store: Store) -> None:
    fill(store)
    receipt = json.loads(store.read("counts/k.json"))
    assert set(receipt) == {"kind", "key", "name", "n_bytes", "sha256", "summary", "seal"}


def test_a_store_goes_to_workers_by_its_url(store: Store) -> None:
    fill(store)
    again = pickle.loads(pickle.dumps(store))  # noqa: S301  (our own object)
    assert again.names() == store.names()


def test_names_below_a_folder_that_is_not_there(store: Store) -> None:
    assert store.names("nothing") == []


def test_written_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    Store(str(tmp_path)).write("a", b"x")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_file_is_synced_unless_it_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    local = Store(str(tmp_path))
    local.write("a/b/c", b"four")
    with local.writer("a/b/d") as stream:
        stream.write(b"seven..")
    assert synced == [4, 7], "all bytes must be in the file when it is synced"
    fill(local)
    local.write("e", b"x", durable=False)
    assert synced == [4, 7]


def test_writing_leaves_the_permissions_of_the_process_alone(tmp_path: Path) -> None:
    _umask.cache_clear()
    before = os.umask(0o027)
    try:
        Store(str(tmp_path)).write("a", b"x")
        assert os.umask(0o027) == 0o027
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
        _umask.cache_clear()


def test_a_stream_is_written_and_its_temporary_file_removed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name, data in (("a", b"one"), ("deep/folder/a", b"other"), ("a", b"replaced")):
        with store.writer(name) as stream:
            stream.write(data)
    assert (store.read("a"), store.read("deep/folder/a")) == (b"replaced", b"other")
    assert store.names() == ["a", "deep/folder/a"]
    assert not list((tmp_path / "temporary").iterdir())


def test_what_nobody_waits_for_does_not_appear(store: Store) -> None:
    store.write("a", b"before")
    with cancellable(lambda: False), pytest.raises(WorkCancelledError), store.writer("a") as stream:
        stream.write(b"late")
    assert (store.names(), store.read("a")) == (["a"], b"before")


def test_files_are_listed_with_size_and_time(store: Store) -> None:
    begin = time.time() - 1
    store.write("a/b", b"four")
    store.write("a/empty", b"")
    store.write("ab", b"x")
    assert [(entry.name, entry.size) for entry in store.entries()] == [("a/b", 4), ("a/empty", 0), ("ab", 1)]
    assert all(begin - 1 < entry.modified < time.time() + 1 for entry in store.entries())
    assert store.names("a") == ["a/b", "a/empty"]
    assert (store.exists("ab"), store.exists("a/c")) == (True, False)


def test_a_storage_that_tells_no_time_has_written_now() -> None:
    assert abs(_modified({}) - time.time()) < 60
    assert _modified({"mtime": 5}) == _modified({"mtime": 5.0}) == 5.0
    assert _modified({"LastModified": datetime.fromtimestamp(7, UTC), "created": 9}) == 7.0


def test_a_file_is_removed_and_moved(store: Store) -> None:
    store.write("a", b"one")
    store.write("b", b"two")
    store.move("a", "b")
    assert (store.names(), store.read("b")) == (["b"], b"one")
    store.remove("b")
    store.remove("b")
    assert store.names() == []


def test_an_empty_folder_is_removed_where_there_are_folders(store: Store, tmp_path: Path) -> None:
    store.write("folder/a", b"x")
    store.remove("folder/a")
    store.remove_folder("folder")
    assert not (tmp_path / "work" / "folder").exists()


def test_what_killed_writes_have_left_is_removed_from_a_local_store(store: Store, tmp_path: Path) -> None:
    store.write(".incoming-abcd1234", b"half")
    store.write("a", b"x")
    store.remove_abandoned()
    is_local = (tmp_path / "work").exists()
    assert store.names() == (["a"] if is_local else [".incoming-abcd1234", "a"])


def test_what_killed_uploads_have_left_is_removed_from_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (temporary / ".incoming-abcd1234").write_bytes(b"half")
    (temporary / "other").write_bytes(b"")
    store = Store(f"memory://{tmp_path.name}/work")
    with store.writer("a"):
        store.remove_abandoned()
        assert len(list(temporary.iterdir())) == 2  # the file that is being written is left
    assert [path.name for path in temporary.iterdir()] == ["other"]


def test_what_lies_below_a_store_is_known(store: Store) -> None:
    assert store.holds(f"{store.url}/a")
    assert not store.holds(f"{store.url}-other/a")
    assert not store.holds("s3://bucket/work/a")
    assert not store.holds(
        f"local://{store.path('a')}" if store.url.startswith("memory") else f"memory://{store.path('a')}"
    )


@pytest.mark.parametrize(
    ("left", "what"), [(b"", "0 bytes instead of 4"), (b"dat", "3 bytes instead of 4"), (None, "gone")]
)
def test_the_warning_says_how_a_checkpoint_is_damaged(store: Store, left: bytes | None, what: str) -> None:
    fill(store)
    store.remove("counts/k.bin") if left is None else store.write("counts/k.bin", left)
    with collect_effects() as effects:
        assert store.intact("counts", "k") is store.load("counts", "k") is None
    assert [f"({what})" in warning for warning in effects.warnings] == [True, True]


def test_the_file_of_a_receipt() -> None:
    """Other versions of the program read it."""
    values = {"kind": "counts", "key": "k", "name": "counts/k.bin", "n_bytes": 4, "sha256": "5" * 64, "summary": {}}
    lines = ['"key": "k"', '"kind": "counts"', '"n_bytes": 4', '"name": "counts/k.bin"']
    lines += [f'"seal": "{digest(values)}"', f'"sha256": "{"5" * 64}"', '"summary": {}']
    receipt = Receipt(**values)  # type: ignore[arg-type]
    assert sealed(receipt).decode() == "{\n " + ",\n ".join(lines) + "\n}"
    assert unsealed(sealed(receipt)) == receipt


def teardown_module() -> None:
    fsspec.filesystem("memory").store.clear()
