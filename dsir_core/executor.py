"""How a stage runs a function over shards: the executor contract, and the one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dsir_core.errors import RequestError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one item: exactly one of `result` and `error` is set, unless the result is None."""

    index: int
    """Which item of the sequence given to `map`."""
    result: Result | None
    error: Exception | None = None


class Executor(Protocol):
    """Runs a function of `dsir_core` over items and hands back outcomes as they come.

    The function must be idempotent: it may run more than once for one item. A function that raises
    yields an `Outcome` with the error, and the other items go on; only `RequestError` ends the map,
    since it says the same for every item. Closing the iterator cancels what has not begun.

    An item may have a `place`, a str: when a result for it says `kept`, later items of that place run in the same
    process if they can.
    """

    n_workers: int

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """Run `function(item)` for every item; outcomes come in any order, one each.

        Args:
            function: a module-level function (workers import it by name).
            items: what to run it over; not copied, so memory is that of the sequence itself.
            name: the stage, for task names in dashboards.
        """
        ...


class InlineExecutor:
    """One item after the other in this process: notebooks, tests, small corpora."""

    n_workers = 1

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`."""
        for index, item in enumerate(items):
            try:
                result = function(item)
            except RequestError:
                raise
            except Exception as error:
                yield Outcome(index, None, error)
            else:
                yield Outcome(index, result)
