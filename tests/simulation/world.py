"""A simulated object store and the clock of a simulation: every operation is a step, and a step may go wrong.

All that happens follows from one seed. Runs in the same world take turns at each step (`Turns`).
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import fsspec
from fsspec import AbstractFileSystem

PROTOCOL = "sim"
ROOT = f"{PROTOCOL}://bucket"


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
        if me not in self._waiting or len(self._waiting) == 1:  # Arrow reads in a thread of its own, and is waited for
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


@dataclass(frozen=True)
class Stored:
    """An object."""

    data: bytes
    version: int


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

    changed: Callable[[], None] = lambda: None
    """Is called whenever an object has changed."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.process = Process()
        """Whose turn it is."""
        self.turns = Turns(self.rng)
        self._late: list[tuple[int, str, bytes]] = []
        self._history: list[dict[str, Stored]] = []

    def put(self, name: str, data: bytes) -> None:
        """Store an object, as it is."""
        self.objects[name] = Stored(data, self.steps)
        self.changed()

    def remove(self, name: str) -> None:
        """Remove an object."""
        if name not in self.objects:
            raise FileNotFoundError(name)
        del self.objects[name]
        self.changed()

    def quiet(self) -> None:
        """Let all that is under way arrive, and nothing go wrong any more."""
        for _, name, data in self._late:
            self.put(name, data)
        self._late.clear()
        self.rates = Rates()

    def step(self, operation: str, name: str) -> str:
        """One step of the process that runs: what goes wrong with it, or ""."""
        process = self.process
        self.turns.step()
        self.process = process
        self.steps += 1
        process.steps += 1
        self.operations.append(f"{operation} {name}")
        self._arrive()
        if process.dead or process.steps - 1 == process.die_at:
            self._died(process)
        if process.worker_dies_in == 0:
            process.worker_dies_in = -1
            raise WorkerDied
        process.worker_dies_in -= process.worker_dies_in > 0
        if process.steps - 1 == process.fail_at:
            self.counts["refused"] += 1
            raise PermissionError(f"simulated: {operation} {name}")
        if process.steps - 1 in process.outage:
            self.counts["outage"] += 1
            raise ConnectionResetError("simulated outage")
        self._remember()
        return self._fault(operation)

    def seen_by_listing(self, fault: str) -> dict[str, Stored]:
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

    def write(self, operation: str, name: str, data: bytes) -> None:
        """A write, which may go wrong."""
        fault = self.step(operation, name)
        if fault == "reset":
            raise ConnectionResetError("simulated")
        if fault == "torn":
            self.put(name, data[: len(data) // 2])
            raise ConnectionResetError("simulated")
        if fault == "late":
            self._late.append((self.steps + self.rng.randint(1, 12), name, data))
            raise TimeoutError("simulated")
        self.put(name, data)
        if fault == "lost answer":
            raise ConnectionResetError("simulated")

    def _arrive(self) -> None:
        for entry in [entry for entry in self._late if entry[0] <= self.steps]:
            self._late.remove(entry)
            self.put(entry[1], entry[2])

    def _remember(self) -> None:
        if self.rates.stale:
            self._history = [*self._history[-6:], dict(self.objects)]


PUTS = ("put", "pipe", "copy")
WRITES = (*PUTS, "remove")


class SimulatedFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The store of the current world as an fsspec filesystem, with the operations of an object store."""

    protocol = PROTOCOL
    cachable = False
    world: ClassVar[World]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    __hash__ = AbstractFileSystem.__hash__

    def _read(self, operation: str, path: str) -> Stored:
        name = self._strip_protocol(path)
        if self.world.step(operation, name):
            raise ConnectionResetError("simulated")
        if name not in self.world.objects:
            raise FileNotFoundError(name)
        return self.world.objects[name]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        found = self._read("info", path)
        return {"name": name, "size": len(found.data), "type": "file", "ETag": str(found.version), "mtime": 0.0}

    def exists(self, path: str, **kwargs: Any) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return self._read("read", path).data[start:end]

    def find(self, path: str, maxdepth: Any = None, withdirs: bool = False, detail: bool = False, **kwargs: Any) -> Any:
        name = self._strip_protocol(path).rstrip("/")
        fault = self.world.step("list", name)
        if fault == "reset":
            raise ConnectionResetError("simulated")
        found = {
            key: {"name": key, "size": len(one.data), "type": "file", "ETag": str(one.version), "mtime": 0.0}
            for key, one in sorted(self.world.seen_by_listing(fault).items())
            if key.startswith(f"{name}/") or key == name
        }
        return found if detail else list(found)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self.world.write("pipe", self._strip_protocol(path), bytes(value))

    def put_file(self, lpath: str, rpath: str, callback: Any = None, mode: str = "overwrite", **kwargs: Any) -> None:
        with open(lpath, "rb") as stream:
            self.world.write("put", self._strip_protocol(rpath), stream.read())

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        source = self._strip_protocol(path1)
        if source not in self.world.objects:
            raise FileNotFoundError(source)
        self.world.write("copy", self._strip_protocol(path2), self.world.objects[source].data)

    def rm_file(self, path: str) -> None:
        name = self._strip_protocol(path)
        fault = self.world.step("remove", name)
        if fault == "reset":
            raise ConnectionResetError("simulated")
        self.world.remove(name)
        if fault == "lost answer":
            raise ConnectionResetError("simulated")


fsspec.register_implementation(PROTOCOL, SimulatedFileSystem, clobber=True)
