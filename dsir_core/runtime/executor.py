"""How a stage runs a function over shards: the executor contract, and the one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, overload

from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RequestError
from dsir_core.runtime.events import Observer, PassAdvances, PassBegins
from dsir_core.storage.connect import storage_settings
from dsir_core.storage.retries import Effects, collect_effects

Item = TypeVar("Item")
Result = TypeVar("Result")
Node = TypeVar("Node")

FAN_IN = 8
"""Results that are joined at once in a reduction: so many that trees are flat, so few that a worker can hold them."""


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one item: exactly one of `result` and `error` is set, unless the result is None."""

    index: int
    """Which item of the sequence given to `map`."""
    result: Result | None
    error: Exception | None = None


def nothing() -> None:
    """What is called when nobody wants to know."""


class Executor(Protocol):
    """Runs a function of `dsir_core` over items and hands back outcomes as they come.

    The function must be idempotent: it may run more than once for one item. A function that raises
    yields an `Outcome` with the error, and the other items go on; only `RequestError` ends the map,
    since it says the same for every item. Closing the iterator cancels what has not begun.

    Items may be of any type. Of a `shards.task.ShardTask` an executor may look at `n_bytes`, to put small ones
    together, and at `keeps` and `place`, to run later items of a place in the process that keeps something under it.
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

    def reduce(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        join: Callable[[Sequence[Result]], Result],
        *,
        name: str,
        done: Callable[[], None] = nothing,
    ) -> Result:
        """Join `function(item)` over all items where the work is done: no more than the whole comes back.

        The tree of joins depends on the number of items alone (see `Tree`), so that sums of floats have the same bits
        in every executor.

        Args:
            function: as for `map`; its results travel between workers, and may be made again.
            items: at least one.
            join: a module-level function of two to `FAN_IN` results, in the order of their items.
            name: as for `map`.
            done: is called when an item is done.

        Raises:
            what `function` raises for an item; the others need not be run then.
            WorkerLostError: workers that held an item kept dying.
        """
        ...


class Tree(Generic[Node]):
    """Joins nodes `FAN_IN` at a time, in order, as they come; holds fewer than `FAN_IN` of each level."""

    def __init__(self, join: Callable[[Sequence[Node]], Node]) -> None:
        self._join = join
        self._levels: list[list[Node]] = []

    def add(self, node: Node) -> None:
        """Put the next leaf into the tree."""
        for level in self._levels:
            level.append(node)
            if len(level) < FAN_IN:
                return
            node = self._join(tuple(level))
            level.clear()
        self._levels.append([node])

    def root(self) -> Node:
        """All leaves joined; there must be one at least."""
        rest: list[Node] = []
        for level in self._levels:
            nodes = (*level, *rest)
            rest = [self._join(nodes)] if len(nodes) > 1 else [*nodes]
        (root,) = rest
        return root


class LazySequence(Sequence[Item]):
    """Items that are made when they are asked for, and not kept.

    Args:
        n: how many.
        make: the item of an index.
    """

    def __init__(self, n: int, make: Callable[[int], Item]) -> None:
        self._n, self._make = n, make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(self._n)[index]]
        return self._make(range(self._n)[index])


class _Returned(Generic[Result]):
    """A result, with what happened on the way to it."""

    def __init__(self, result: Result, effects: Effects) -> None:
        self.result, self.effects = result, effects


@dataclass(frozen=True)
class _Watched(Generic[Item, Result]):
    """A function that connects to storage as the run says, and tells what happened on the way."""

    function: Callable[[Item], Result]
    storage: StorageSettings

    def __call__(self, item: Item) -> _Returned[Result]:
        with storage_settings(self.storage), collect_effects() as effects:
            return _Returned(self.function(item), effects)


@dataclass(frozen=True)
class _JoinedReturns(Generic[Result]):
    """A join of what watched functions return."""

    join: Callable[[Sequence[Result]], Result]

    def __call__(self, parts: Sequence[_Returned[Result]]) -> _Returned[Result]:
        effects = Effects(
            sum(part.effects.retries for part in parts),
            [warning for part in parts for warning in part.effects.warnings],
        )
        return _Returned(self.join([part.result for part in parts]), effects)


class WatchedExecutor:
    """An executor whose functions reach storage as a run says, wherever they run.

    Args:
        executor: does the work.
        storage: how storage is reached.
        tell: is told what happened on the way to each result.
        observe: is told of reductions, which yield nothing before their end.
    """

    def __init__(
        self, executor: Executor, storage: StorageSettings, tell: Callable[[Effects], None], observe: Observer
    ) -> None:
        self._executor, self._storage, self._tell, self._observe = executor, storage, tell, observe
        self.n_workers = executor.n_workers

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`."""
        for outcome in self._executor.map(_Watched(function, self._storage), items, name=name):
            if outcome.result is None:
                yield Outcome(outcome.index, None, outcome.error)
                continue
            self._tell(outcome.result.effects)
            yield Outcome(outcome.index, outcome.result.result, outcome.error)

    def reduce(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        join: Callable[[Sequence[Result]], Result],
        *,
        name: str,
        done: Callable[[], None] = nothing,
    ) -> Result:
        """See `Executor.reduce`."""
        self._observe(PassBegins(name, len(items)))

        def advance() -> None:
            done()
            self._observe(PassAdvances(name))

        watched = _Watched(function, self._storage)
        whole = self._executor.reduce(watched, items, _JoinedReturns(join), name=name, done=advance)
        self._tell(whole.effects)
        return whole.result


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

    def reduce(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        join: Callable[[Sequence[Result]], Result],
        *,
        name: str,
        done: Callable[[], None] = nothing,
    ) -> Result:
        """See `Executor.reduce`."""
        tree = Tree(join)
        for item in items:
            tree.add(function(item))
            done()
        return tree.root()
