"""Some documents as sparse n-gram counts, in an order of their own: bounded samples that do not depend on shards."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt


def order_among_all(order: npt.NDArray[np.uint64], rate: float) -> npt.NDArray[np.uint64]:
    """The order, uint64[n], that a sample of `rate` of a corpus's documents has among samples of other rates."""
    return (order * rate).astype(np.uint64) if rate < 1 else order


@dataclass(frozen=True)
class Bound:
    """How large a sample may be."""

    documents: int
    entries: int
    """Buckets that the documents hold, each document's counted by itself."""


@dataclass(frozen=True)
class SparseDocuments:
    """Documents as counts of the buckets that they hold."""

    order: npt.NDArray[np.uint64]
    """uint64[n]: a hash of where each document stands; a sample has the smallest."""
    starts: npt.NDArray[np.int64]
    """int64[n + 1]: document i has the entries [starts[i], starts[i + 1])."""
    buckets: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.order)

    def smallest(self, bound: Bound) -> SparseDocuments:
        """The sample: the first documents by `order` up to the first that a bound does not allow; one at least."""
        which, n = self._within(bound)
        return self.take(which[:n])

    def cut(self, bound: Bound) -> SparseDocuments:
        """What decides the sample of any larger set: the sample, and the first document that it has no room for."""
        which, n = self._within(bound)
        return self.take(which[: n + 1])

    def _within(self, bound: Bound) -> tuple[npt.NDArray[np.int64], int]:
        """Documents in order, equal ones as they stand; and how many are within a bound."""
        which = np.argsort(self.order, kind="stable")
        entries = np.cumsum(np.diff(self.starts)[which[: bound.documents]])
        return which, max(1, int(np.searchsorted(entries, bound.entries, side="right")))

    def take(self, which: npt.NDArray[np.int64]) -> SparseDocuments:
        """Some documents, by their indices int64[n]."""
        # Where it is used: the driver of a run needs no compiler.
        from dsir_core.kernels.slices import copy_slices

        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(self.starts)[which])])
        buckets, counts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
        copy_slices(self.buckets, self.starts, which, buckets)
        copy_slices(self.counts, self.starts, which, counts)
        return SparseDocuments(self.order[which], starts, buckets, counts)

    def thinned(self, rate: float, least: float) -> SparseDocuments:
        """Of a sample of `rate` of a corpus's documents a sample of the rate `least`, with the order of one of all.

        Samples of several corpora, thinned to the least of their rates, are one sample of all of them.
        """
        order = order_among_all(self.order, rate)
        thinned = replace(self, order=order)
        return thinned if rate <= least else thinned.take(np.flatnonzero(order < np.uint64(least * 2**64)))

    def summed(self, buckets: int) -> npt.NDArray[np.int64]:
        """int64[buckets]: the counts of all documents together."""
        total = np.zeros(buckets, np.int64)
        np.add.at(total, self.buckets, self.counts)
        return total

    def totals(self) -> npt.NDArray[np.int64]:
        """int64[n]: n-grams of each document."""
        # By a running sum: `reduceat` takes five times as long where it widens its numbers.
        before = np.append(0, np.cumsum(self.counts, dtype=np.int64))
        return np.diff(before[self.starts])

    def matrix(self, buckets: int) -> Any:
        """Scipy CSR array int64[n, buckets] of counts."""
        from scipy.sparse import csr_array

        counts = self.counts.astype(np.int64)
        return csr_array((counts, self.buckets, self.starts.astype(np.int32)), shape=(len(self), buckets))

    def to_bytes(self, **more: Any) -> bytes:
        """As NumPy `.npz` without pickle, with more arrays."""
        buffer = io.BytesIO()
        buckets, counts = _narrow(self.buckets), _narrow(self.counts)
        np.savez(buffer, order=self.order, starts=self.starts, buckets=buckets, counts=counts, **more)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SparseDocuments:
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls.from_arrays(arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> SparseDocuments:
        """The same from the arrays of the `.npz`, which may hold others as well."""
        buckets, counts = arrays["buckets"].astype(np.int32), arrays["counts"].astype(np.int32)
        return cls(arrays["order"], arrays["starts"], buckets, counts)

    @classmethod
    def joined(cls, parts: Sequence[SparseDocuments]) -> SparseDocuments:
        """All documents of some sets, one set after the other."""
        sizes = [np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)]
        return cls(
            np.concatenate([np.empty(0, np.uint64), *(part.order for part in parts)]),
            np.cumsum(np.concatenate(sizes)),
            np.concatenate([np.empty(0, np.int32), *(part.buckets for part in parts)]),
            np.concatenate([np.empty(0, np.int32), *(part.counts for part in parts)]),
        )


def _narrow(values: npt.NDArray[np.int32]) -> npt.NDArray[np.unsignedinteger]:
    """The same numbers, of which none is negative, in the narrowest type that holds them all."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


class BottomKSample:
    """Collects documents for a sample, and holds no more than about twice its bound.

    Args:
        bound: of the sample.
        share: of all orders, those that are looked at.
    """

    def __init__(self, bound: Bound, share: float = 1.0) -> None:
        self._bound = bound
        self._parts: list[SparseDocuments] = []
        self._documents = self._entries = 0
        self.limit = np.uint64(min(int(share * 2**64), 2**64 - 1))
        """Documents of this order or a larger one are not wanted any more."""

    def extend(self, documents: SparseDocuments) -> None:
        """Take documents; those without n-grams are left out."""
        has_some = np.diff(documents.starts) > 0
        if not has_some.all():
            documents = documents.take(np.flatnonzero(has_some))
        self._parts.append(documents)
        self._documents += len(documents)
        self._entries += len(documents.buckets)
        if self._documents > 2 * self._bound.documents or self._entries > 2 * self._bound.entries:
            kept = self.found()
            if len(kept) < self._documents:
                self.limit = kept.order[-1]
            self._parts, self._documents, self._entries = [kept], len(kept), len(kept.buckets)

    def found(self) -> SparseDocuments:
        """See `SparseDocuments.cut`."""
        return SparseDocuments.joined(self._parts).cut(self._bound)

    def sample(self) -> SparseDocuments:
        """See `SparseDocuments.smallest`."""
        return SparseDocuments.joined(self._parts).smallest(self._bound)


def warm_up() -> None:
    """Compile, or load from disk, what `SparseDocuments.take` needs."""
    empty = np.zeros(0, np.int32)
    SparseDocuments(np.zeros(0, np.uint64), np.zeros(1, np.int64), empty, empty).take(np.zeros(0, np.int64))
