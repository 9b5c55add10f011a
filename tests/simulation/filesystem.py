"""The store of a simulated world as a filesystem of fsspec, with the operations of an object store."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import fsspec
from fsspec import AbstractFileSystem

from tests.simulation.world import Operation, Stored, World

PROTOCOL = "sim"
ROOT = f"{PROTOCOL}://bucket"


class SimulatedFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Asks the current world."""

    protocol = PROTOCOL
    cachable = False
    world: ClassVar[World] = World(0)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    __hash__ = AbstractFileSystem.__hash__

    def _ask(self, kind: str, path: str, data: bytes = b"", source: str = "") -> Any:
        in_arrow = threading.current_thread().name.startswith("Dummy-")  # a thread that Python has not started
        return self.world.ask(Operation(kind, self._strip_protocol(path).rstrip("/"), data, source, in_arrow))

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found: Stored = self._ask("info", path)
        return found.info(self._strip_protocol(path))

    def exists(self, path: str, **kwargs: Any) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        found: Stored = self._ask("read", path)
        return found.data[start:end]

    def find(self, path: str, maxdepth: Any = None, withdirs: bool = False, detail: bool = False, **kwargs: Any) -> Any:
        found = self._ask("list", path)
        return found if detail else list(found)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._ask("pipe", path, bytes(value))

    def put_file(self, lpath: str, rpath: str, callback: Any = None, mode: str = "overwrite", **kwargs: Any) -> None:
        with open(lpath, "rb") as stream:
            self._ask("put", rpath, stream.read())

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._ask("copy", path2, source=self._strip_protocol(path1))

    def rm_file(self, path: str) -> None:
        self._ask("remove", path)


fsspec.register_implementation(PROTOCOL, SimulatedFileSystem, clobber=True)
