"""A simulated object store and the clock of a simulation: every operation is a step, and a step may go wrong.

All that happens follows from one seed. Runs in the same world take turns at each step (`Turns`).
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.simulation.dialogs import Answer, Dialog

READS = ("info", "read")
PUTS = ("put", "pipe", "copy")
WRITES = (*PUTS, "remove")


class ProcessDied(BaseException):
    """What stands for SIGKILL of a run's process: no code of the run may catch it."""


class WorkerDied(BaseException):
    """What stands for SIGKILL of the worker that runs an item."""


@dataclass(frozen=True)
class Rates:
    """Probability of each fault, an operation."""

    reset: float = 0.0
    """It is not done, and the connection is reset."""
    lost_answer: float = 0.0
    """It is done, and the connection is reset before the answer."""
    torn: float = 0.0
    """A write leaves half of its bytes under the name, and the connection is reset."""
    late: float = 0.0
    """A write is not done when its connection times out, but some steps later."""
    stale: float = 0.0
    """A listing is one of some steps ago."""


@dataclass
class Process:
    """One run's process."""

    die_at: int = -1
    """The step of this process at which it dies; -1 for never."""
    outage: range = range(0)
    """Steps of this process at which storage does not answer."""
    fail_at: int = -1
    """The step that is refused for good."""
    steps: int = 0
    dead: bool = False
    worker_dies_in: int = -1
    """Steps until the worker that runs an item dies."""
    dialog: Dialog | None = None
    """With the function that a worker runs."""


class Turns:
    """Lets one of several threads go on at a time, and chooses at each step which."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: dict[int, threading.Semaphore] = {}

    def run(self, functions: list[Callable[[], None]]) -> None:
        """Run functions, none of which raises, side by side until all have ended."""
        if len(functions) == 1:
            functions[0]()
            return
        threads = []
        for index, function in enumerate(functions):
            self._waiting[index] = threading.Semaphore(0)
            threads.append(threading.Thread(target=self._one, args=(index, function), daemon=True))
        for thread in threads:
            thread.start()
        self._next().release()
        for thread in threads:
            thread.join()

    def step(self) -> None:
        """Give the turn to any of the threads, perhaps this one."""
        me = getattr(_TURN, "index", None)
        if me not in self._waiting or len(self._waiting) == 1:
            return
        chosen = self._next()
        if chosen is not self._waiting[me]:
            mine = self._waiting[me]
            chosen.release()
            mine.acquire()

    def _next(self) -> threading.Semaphore:
        return self._waiting[self._rng.choice(sorted(self._waiting))]

    def _one(self, index: int, function: Callable[[], None]) -> None:
        _TURN.index = index
        self._waiting[index].acquire()
        try:
            function()
        finally:
            del self._waiting[index]
            if self._waiting:
                self._next().release()


_TURN = threading.local()


class Stored:
    """An object, as storage describes it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.etag = hashlib.md5(data, usedforsecurity=False).hexdigest()

    def info(self, name: str) -> dict[str, Any]:
        """As fsspec describes a file."""
        return {"name": name, "size": len(self.data), "type": "file", "ETag": self.etag, "mtime": 0.0}


class Operation(NamedTuple):
    """What is asked of storage."""

    kind: str
    name: str
    data: bytes = b""
    """To be written."""
    source: str = ""
    """Of a copy."""
    waited_for: bool = False
    """It is asked for in a thread of Arrow's, for which the thread of the run waits: no other run may have a turn."""


@dataclass
class World:
    """The store's objects, and what goes wrong."""

    seed: int
    rates: Rates = field(default_factory=Rates)
    objects: dict[str, Stored] = field(default_factory=dict)
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    operations: list[str] = field(default_factory=list)
    """All operations, for who reads a failure."""

    changed: Callable[[str], object] = lambda name: None
    """Is called with the name of an object whenever it has changed."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.process = Process()
        """Whose turn it is."""
        self.turns = Turns(self.rng)
        self._late: list[tuple[int, str, bytes]] = []
        self._history: list[dict[str, Stored]] = []

    def put(self, name: str, data: bytes) -> None:
        """Store an object, as it is."""
        self.objects[name] = Stored(data)
        self.changed(name)

    def remove(self, name: str) -> None:
        """Remove an object."""
        if name not in self.objects:
            raise FileNotFoundError(name)
        del self.objects[name]
        self.changed(name)

    def quiet(self) -> None:
        """Let all that is under way arrive, and nothing go wrong any more."""
        for _, name, data in self._late:
            self.put(name, data)
        self._late.clear()
        self.rates = Rates()

    def step(self, operation: Operation) -> str:
        """One step of the process that runs: what goes wrong with it, or ""."""
        process = self.process
        if not operation.waited_for:
            self.turns.step()
        self.process = process
        self.steps += 1
        process.steps += 1
        self.operations.append(f"{operation.kind} {operation.name}")
        self._arrive()
        if process.dead or process.steps - 1 == process.die_at:
            self._died(process)
        if process.worker_dies_in == 0:
            process.worker_dies_in = -1
            raise WorkerDied
        process.worker_dies_in -= process.worker_dies_in > 0
        if process.steps - 1 == process.fail_at:
            self.counts["refused"] += 1
            raise PermissionError(f"simulated: {operation.kind} {operation.name}")
        if process.steps - 1 in process.outage:
            self.counts["outage"] += 1
            raise ConnectionResetError("simulated outage")
        self._remember()
        return self._fault(operation.kind)

    def _seen_by_listing(self, fault: str) -> dict[str, Stored]:
        """The objects that a listing shows."""
        if fault == "stale" and self._history:
            return self.rng.choice(self._history)
        return self.objects

    def _died(self, process: Process) -> None:
        if not process.dead:
            self.counts["process died"] += 1
        process.dead = True
        raise ProcessDied

    def _fault(self, operation: str) -> str:
        rates = self.rates
        draw = self.rng.random()
        faults = [("reset", rates.reset)]
        if operation in WRITES:
            faults += [("torn", rates.torn), ("late", rates.late)] if operation in PUTS else []
            faults += [("lost answer", rates.lost_answer)]
        if operation == "list":
            faults += [("stale", rates.stale)]
        for name, rate in faults:
            if draw < rate:
                self.counts[name] += 1
                return name
            draw -= rate
        return ""

    def ask(self, operation: Operation) -> Any:
        """What storage answers to an operation of the program.

        Raises:
            OSError: what went wrong.
        """
        return (self.process.dialog or self).answer(operation).get()

    def answer(self, operation: Operation) -> Answer:
        """Do an operation."""
        try:
            value, key = self._do(operation)
        except OSError as error:
            return Answer(None, error, (type(error), str(error)))
        return Answer(value, None, key)

    def _do(self, operation: Operation) -> tuple[Any, Hashable]:
        """The answer to an operation, and what is the same for the same answer."""
        fault = self.step(operation)
        if fault == "reset":
            raise ConnectionResetError("simulated")
        if operation.kind == "list":
            return self._list(operation.name, self._seen_by_listing(fault))
        if operation.kind in READS:
            found = self._object(operation.name)
            return found, found.etag
        if operation.kind == "remove":
            self.remove(operation.name)
        else:
            self._write(operation, fault)
        if fault == "lost answer":
            raise ConnectionResetError("simulated")
        return None, None

    def _object(self, name: str) -> Stored:
        if name not in self.objects:
            raise FileNotFoundError(name)
        return self.objects[name]

    def _list(self, name: str, objects: dict[str, Stored]) -> tuple[dict[str, Any], Hashable]:
        found = {key: objects[key].info(key) for key in sorted(objects) if key.startswith(f"{name}/") or key == name}
        return found, tuple((key, info["ETag"]) for key, info in found.items())

    def _write(self, operation: Operation, fault: str) -> None:
        data = self._object(operation.source).data if operation.source else operation.data
        if fault == "torn":
            self.put(operation.name, data[: len(data) // 2])
            raise ConnectionResetError("simulated")
        if fault == "late":
            self._late.append((self.steps + self.rng.randint(1, 12), operation.name, data))
            raise TimeoutError("simulated")
        self.put(operation.name, data)

    def _arrive(self) -> None:
        for entry in [entry for entry in self._late if entry[0] <= self.steps]:
            self._late.remove(entry)
            self.put(entry[1], entry[2])

    def _remember(self) -> None:
        if self.rates.stale:
            self._history = [*self._history[-6:], dict(self.objects)]
