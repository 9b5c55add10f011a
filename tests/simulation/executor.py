"""A simulated executor: items end in any order, run twice, are lost, die with their worker, fail or straggle."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from dsir_core.runtime.executor import InlineExecutor, Outcome, Tree, nothing
from dsir_core.shards.score import load_model
from tests.simulation.dialogs import Dialog, Dialogs
from tests.simulation.world import WorkerDied, World

Item = TypeVar("Item")
Result = TypeVar("Result")

DIALOGS = Dialogs()


@dataclass(frozen=True)
class Mishaps:
    """Probability of each, an item."""

    twice: float = 0.0
    """It is run again after it is done."""
    lost: float = 0.0
    """It is done, and its result is lost with its worker."""
    worker_dies: float = 0.0
    """Its worker dies at one of its steps."""
    fails: float = 0.0
    """It ends with an error of the cluster."""
    straggles: float = 0.0
    """It ends after all the others."""


class SimulatedExecutor:
    """Runs items in this process, as `Executor` allows."""

    n_workers = 3

    def __init__(self, world: World, mishaps: Mishaps) -> None:
        self._world, self._mishaps = world, mishaps
        self._plain = InlineExecutor()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], *, name: str) -> Iterator[Outcome[Result]]:
        """See `Executor.map`."""
        order, sent = list(range(len(items))), pickle.dumps(function)
        self._world.rng.shuffle(order)
        late = [index for index in order if self._happens("straggles")]
        for index in [*(i for i in order if i not in late), *late]:
            if self._happens("fails"):
                yield Outcome(index, None, ConnectionResetError("simulated: the worker's connection"))
                continue
            (outcome,) = self._plain.map(partial(self._run, sent), [items[index]], name=name)
            yield replace(outcome, index=index)

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
        results: dict[int, Result] = {}
        order, sent = list(range(len(items))), pickle.dumps(function)
        self._world.rng.shuffle(order)
        for index in order:
            results[index] = self._run(sent, items[index])
            done()
        joining = pickle.dumps(join)
        tree = Tree[Result](lambda results: self._in_process(joining, results))
        for index in range(len(items)):
            tree.add(results[index])
        return tree.root()

    def _run(self, function: bytes, item: Item) -> Any:
        """Run an item, again where its worker dies or its result is lost; all travels as between processes."""
        process = self._world.process
        while True:
            if self._happens("worker_dies"):
                process.worker_dies_in = self._world.rng.randint(0, 8)
            try:
                result = self._in_process(function, item)
            except WorkerDied:
                continue
            finally:
                process.worker_dies_in = -1
            if self._happens("lost") or self._happens("twice"):
                continue
            return result

    def _in_process(self, function: bytes, item: Any) -> Any:
        return DIALOGS.call(function, pickle.dumps(item), self._world.answer, self._in_worker)

    def _in_worker(self, dialog: Dialog, call: Callable[[], Result]) -> Result:
        """Call a function as in a worker that has just begun."""
        process = self._world.process
        load_model.cache_clear()
        process.dialog = dialog
        try:
            return call()
        finally:
            process.dialog = None

    def _happens(self, mishap: str) -> bool:
        happens = self._world.rng.random() < getattr(self._mishaps, mishap)
        self._world.counts[mishap.replace("_", " ")] += happens
        return happens
