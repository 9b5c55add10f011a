"""Where something is kept for an item: on the worker that read it before, so that it is best run there again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distributed import Client, Future

from dsir_core.shards.task import ShardTask


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
        return self._workers.get(item.place) if self._workers and isinstance(item, ShardTask) else None

    def remember(self, future: Future[Any], places: Sequence[str]) -> None:
        """Note which worker keeps something; the scheduler knows where a result lies until it is released.

        Args:
            future: that has finished, and is not released.
            places: under which its worker keeps something.
        """
        workers: Sequence[str] = self._client.who_has([future])[future.key] if places else ()
        for place in places if workers else ():
            self._workers[place] = workers[0]

    def forget(self, worker: str) -> None:
        """Wish nothing more from a worker: it does not answer, and all that it keeps would wait for it."""
        self._workers = {place: at for place, at in self._workers.items() if at != worker}
