"""Which items go into one future: several that take milliseconds, one that takes longer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from dsir_core.shards.task import ShardTask
from tasks.locality import Places
from tasks.reduction import IN_FLIGHT_PER_THREAD

BATCH_SECONDS = 0.2
BATCH_BYTES = 16 * 2**20
MAX_BATCH = 64
"""A future costs Dask four milliseconds: a batch has so many items that this does not matter, and so few that a lost
worker costs little."""


class Batches:
    """Cuts a sequence of items into batches, one after the other.

    Args:
        items: all items.
        places: items that are kept on a worker go out by themselves.
    """

    def __init__(self, items: Sequence[Any], places: Places) -> None:
        self._items, self._places = items, places
        self._next = 0
        self._again: deque[int] = deque()
        self._item_seconds: float | None = None

    def __bool__(self) -> bool:
        """Whether items are left."""
        return bool(self._again) or self._next < len(self._items)

    def measured(self, seconds: float, n_items: int) -> None:
        """Note how long a batch took on its worker."""
        self._item_seconds = seconds / n_items

    def run_again(self, indices: Iterable[int]) -> None:
        """Put back items that were not run, since an item before them failed; each goes out by itself."""
        self._again.extend(indices)

    def take(self, n_threads: int) -> tuple[int, ...]:
        """Indices of the next batch; there must be items left.

        Args:
            n_threads: of all workers, which share what is left.
        """
        if self._again:
            return (self._again.popleft(),)
        first, n_items, n_bytes = self._next, self._batch_size(n_threads), 0
        # Shards that follow small ones may be large.
        while self._next < first + n_items and (self._next == first or n_bytes <= BATCH_BYTES):
            n_bytes += stored_bytes(self._items[self._next])
            self._next += 1
        return tuple(range(first, self._next))

    def _batch_size(self, n_threads: int) -> int:
        """About `BATCH_SECONDS` of work, and less at the end, so that no worker is left with much."""
        left = len(self._items) - self._next
        if self._item_seconds is None or left <= 1 or self._places.worker(self._items[self._next]):
            return 1
        share = left // (2 * IN_FLIGHT_PER_THREAD * n_threads)
        return max(1, min(int(BATCH_SECONDS / max(self._item_seconds, 1e-6)), share, MAX_BATCH))


def stored_bytes(item: Any) -> int:
    """Stored bytes that an item reads, 0 where it reads no shard."""
    return item.n_bytes if isinstance(item, ShardTask) else 0
