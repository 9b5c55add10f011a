"""A checkpoint is complete or not there; damage is found; nothing half-written appears under a final name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import fsspec
import pytest

from dsir_core.checkpoints.store import Store
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


def teardown_module() -> None:
    fsspec.filesystem("memory").store.clear()
