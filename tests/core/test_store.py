"""A checkpoint is complete or not there; damage is found; nothing half-written appears under a final name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import fsspec
import pytest

from dsir_core.store import DamagedCheckpointError, Store


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
    store.verify(receipt)
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
    assert store.receipt("counts", "k") is None


def test_a_flipped_byte_is_found(store: Store) -> None:
    fill(store)
    receipt = store.receipt("counts", "k")
    assert receipt is not None
    store.write("counts/k.bin", b"dbta")
    with pytest.raises(DamagedCheckpointError, match=r"counts/k\.bin"):
        store.verify(receipt)


def test_receipts_are_small_json(store: Store) -> None:
    fill(store)
    receipt = json.loads(store.read("counts/k.json"))
    assert set(receipt) == {"kind", "key", "name", "n_bytes", "sha256", "summary"}


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


def teardown_module() -> None:
    fsspec.filesystem("memory").store.clear()
