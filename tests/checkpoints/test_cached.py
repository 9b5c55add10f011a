"""A checkpoint is made once, is reused while all of it is there, and is made again where anything of it is damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from dsir_core.checkpoints.cached import Cached, array_from, find_or_make, load_or_make, write_array
from dsir_core.checkpoints.kinds import COUNTS, WEIGHTS
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store

KEY = "k" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def loaded(store: Store, made: list[int], missing: bool = False) -> Cached[list[int]]:
    def load(receipt: Receipt, data: bytes) -> list[int] | None:
        assert receipt.summary == {"n": 3}
        return None if missing else [int(value) for value in array_from(data)]

    def make(draft: Draft) -> list[int]:
        made.append(1)
        write_array(draft, np.arange(3))
        draft.summary["n"] = 3
        return [0, 1, 2]

    return load_or_make(store, COUNTS, KEY, load, make)


def found(store: Store, made: list[int]) -> Cached[int]:
    def make(draft: Draft) -> int:
        made.append(1)
        for part in (b"some", b" parts"):
            draft.stream.write(part)
        draft.summary["n"] = 7
        return 7

    return find_or_make(store, WEIGHTS, KEY, lambda receipt: int(receipt.summary["n"]), make)


def test_data_are_made_once_and_loaded_then(store: Store) -> None:
    made: list[int] = []
    first, second = loaded(store, made), loaded(store, made)
    assert (first.value, first.reused) == ([0, 1, 2], False)
    assert (second.value, second.reused, second.receipt) == ([0, 1, 2], True, first.receipt)
    assert len(made) == 1
    assert store.names() == [f"counts/{KEY}.json", f"counts/{KEY}.npy"]
    assert all(0 < cached.seconds < 60 for cached in (first, second, found(store, made), found(store, made)))


def test_what_lacks_another_file_is_made_again(store: Store) -> None:
    made: list[int] = []
    loaded(store, made)
    assert loaded(store, made, missing=True).reused is False
    assert len(made) == 2


def test_data_may_stay_in_the_store(store: Store) -> None:
    made: list[int] = []
    first, second = found(store, made), found(store, made)
    assert (first.value, first.reused, second.value, second.reused, len(made)) == (7, False, 7, True, 1)
    assert store.read(second.receipt.name) == b"some parts"


@pytest.mark.parametrize("suffix", [".json", ""])
@pytest.mark.parametrize("how", [loaded, found])
def test_damage_is_made_good(store: Store, how: object, suffix: str) -> None:
    made: list[int] = []
    assert callable(how)
    name = how(store, made).receipt.name
    whole = store.read(name)
    broken = name.rpartition(".")[0] + suffix if suffix else name
    store.write(broken, b"x" * len(store.read(broken)))
    assert how(store, made).reused is False
    assert store.read(name) == whole
    assert how(store, made).reused is True
    assert len(made) == 2


def test_nothing_is_left_of_what_fails(store: Store) -> None:
    def fail(draft: Draft) -> int:
        draft.stream.write(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        find_or_make(store, WEIGHTS, KEY, lambda _: 0, fail)
    assert store.names() == []


def test_arrays_hold_no_objects(store: Store) -> None:
    """A file of objects would be code that runs when it is read."""
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_array(Draft(io.BytesIO(), {}), np.array([{}], object))
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        array_from(stream.getvalue())
