"""How a stage runs a function over shards: the executor contract, and the one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dsir_core.errors import RequestError
from dsir_core.remote.connect import using
from dsir_core.remote.retries import Effects, watching
from dsir_core.remote.settings import StorageSettings

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


class _Returned(Generic[Result]):
    """A result, with what happened on the way to it."""

    def __init__(self, result: Result, effects: Effects) -> None:
        self.result, self.effects = result, effects
        self.kept = bool(getattr(result, "kept", False))


@dataclass(frozen=True)
class _Watched(Generic[Item, Result]):
    """A function that connects to storage as the run says, and tells what happened on the way."""

    function: Callable[[Item], Result]
    storage: StorageSettings

    def __call__(self, item: Item) -> _Returned[Result]:
        with using(self.storage), watching() as effects:
            return _Returned(self.function(item), effects)


class WatchedExecutor:
    """An executor whose functions reach storage as a run says, wherever they run.

    Args:
        executor: does the work.
        storage: how storage is reached.
        tell: is told what happened on the way to each result.
    """

    def __init__(self, executor: Executor, storage: StorageSettings, tell: Callable[[Effects], None]) -> None:
        self._executor, self._storage, self._tell = executor, storage, tell
        self.n_workers = executor.n_workers

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`."""
        for outcome in self._executor.map(_Watched(function, self._storage), items, name=name):
            if outcome.result is None:
                yield Outcome(outcome.index, None, outcome.error)
                continue
            self._tell(outcome.result.effects)
            yield Outcome(outcome.index, outcome.result.result, outcome.error)


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
