"""Take a checkpoint that is there, or make it.

`load_or_make` is for data that are small enough to hold, `find_or_make` for data that stay in the store, of which only
the receipt is wanted. Either way the data are proven by their SHA-256 before they are reused. A function that makes
data writes them to `Draft.stream`, in as many writes as it likes, and fills `Draft.summary`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.kinds import Kind
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store

Value = TypeVar("Value")


@dataclass(frozen=True)
class Cached(Generic[Value]):
    """A value that stands in a checkpoint."""

    value: Value
    receipt: Receipt
    reused: bool
    """Whether the checkpoint was there."""
    seconds: float
    """To load it, or to make it."""


def load_or_make(
    store: Store,
    kind: Kind,
    key: str,
    load: Callable[[Receipt, bytes], Value | None],
    make: Callable[[Draft], Value],
) -> Cached[Value]:
    """A checkpoint's value, from its data or made anew.

    Args:
        load: the value, from receipt and data; None where something else that it needs is gone.
        make: writes the data, and gives the value.

    Raises:
        what `make` raises; then nothing is written.
    """
    begin = time.perf_counter()
    found = store.load(kind.folder, key)
    value = load(*found) if found is not None else None
    if found is not None and value is not None:
        return Cached(value, found[0], True, time.perf_counter() - begin)
    return _made(store, kind, key, make, begin)


def find_or_make(
    store: Store, kind: Kind, key: str, load: Callable[[Receipt], Value], make: Callable[[Draft], Value]
) -> Cached[Value]:
    """A checkpoint's value, from its receipt or made anew; the data stay in the store.

    Args:
        load: the value, from the receipt's summary.
        make: see `load_or_make`.

    Raises:
        what `make` raises; then nothing is written.
    """
    begin = time.perf_counter()
    receipt = store.intact(kind.folder, key)
    if receipt is not None:
        return Cached(load(receipt), receipt, True, time.perf_counter() - begin)
    return _made(store, kind, key, make, begin)


def _made(store: Store, kind: Kind, key: str, make: Callable[[Draft], Value], begin: float) -> Cached[Value]:
    with store.checkpoint(kind.folder, key, kind.suffix, {}) as draft:
        value = make(draft)
    return Cached(value, draft.sealed, False, time.perf_counter() - begin)


def write_array(draft: Draft, array: npt.NDArray[Any]) -> None:
    """Write an array as `.npy`, without pickle."""
    np.save(draft.stream, array, allow_pickle=False)


def array_from(data: bytes) -> npt.NDArray[Any]:
    """Inverse of `write_array`."""
    array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
