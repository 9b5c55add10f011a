"""Where something is kept for an item: on the worker that read it before, so that it is best run there again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distributed import Client, Future


class Places:
    """The workers that keep something, by the items' `place`.

    They are wishes and no more: an item runs as well anywhere else, at the cost of reading again.

    Args:
        client: of the workers.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers: dict[str, str] = {}

    def worker(self, item: Any) -> str | None:
        """Address of the worker that keeps something for an item."""
        return self._workers.get(getattr(item, "place", "")) if self._workers else None

    def remember(self, future: Future[Any], items: Sequence[Any], results: Sequence[Any]) -> None:
        """Note which worker kept something; the scheduler knows where a result lies until it is released.

        Args:
            future: that has finished, and is not released.
            items: that it ran, in order.
            results: of the items, fewer where it stopped before the last; `kept` says that something is.
        """
        kept = [item for item, found in zip(items, results, strict=False) if getattr(found, "kept", False)]
        workers: Sequence[str] = self._client.who_has([future])[future.key] if kept else ()
        for item in kept if workers else ():
            self._workers[item.place] = workers[0]

    def forget(self, worker: str) -> None:
        """Wish nothing more from a worker: it does not answer, and all that it keeps would wait for it."""
        self._workers = {place: at for place, at in self._workers.items() if at != worker}
