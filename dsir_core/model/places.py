"""Where the documents of a sample stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.model.compact_sample import order_among_all


@dataclass(frozen=True)
class Places:
    """Where each of some documents stands."""

    order: npt.NDArray[np.uint64]
    """uint64[n]: as of `SparseDocuments`."""
    file: npt.NDArray[np.str_]
    """[n]: path relative to the corpus root."""
    position: npt.NDArray[np.int64]
    stratum: npt.NDArray[np.str_]
    """[n]: "" without strata."""
    corpus: npt.NDArray[np.int32]
    """int32[n]: which of the corpora that are sampled together."""

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(cls, order: Sequence[int], file: Sequence[str], position: Sequence[int], stratum: Sequence[str]) -> Places:
        """Places of documents of one corpus."""
        return cls(
            np.array(order, np.uint64),
            np.array(file, np.str_),
            np.array(position, np.int64),
            np.array(stratum, np.str_),
            np.zeros(len(order), np.int32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """All of some sets."""
        some = [cls.of([], [], [], []), *parts]
        return cls(*(np.concatenate([getattr(part, each.name) for part in some]) for each in fields(cls)))

    def scaled(self, rate: float, corpus: int) -> Places:
        """With the order that `SparseDocuments.thinned` gives to a sample of this rate, as of one corpus of several."""
        return replace(self, order=order_among_all(self.order, rate), corpus=np.full(len(self), corpus, np.int32))

    def at(self, order: npt.NDArray[np.uint64]) -> Places:
        """The places of documents by their order, uint64[m], each of which must be there."""
        by_order = np.argsort(self.order, kind="stable")
        which = by_order[np.searchsorted(self.order[by_order], order)]
        return Places(*(getattr(self, each.name)[which] for each in fields(self)))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name, for a `.npz` that holds others as well."""
        return {f"place_{each.name}": getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Places:
        """Inverse of `arrays`."""
        return cls(*(arrays[f"place_{each.name}"] for each in fields(cls)))
