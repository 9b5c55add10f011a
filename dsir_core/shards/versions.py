"""What surrounds a shard function on a worker. A worker needs this package and what it depends on, nothing above it."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from dsir_core.errors import MixedVersionsError
from dsir_core.runtime.cancellation import while_wanted

Item = TypeVar("Item")
Result = TypeVar("Result")

PACKAGE = "package"
"""The key in `versions` that is only shown: an installation's name says less than its source."""


@functools.cache
def versions() -> dict[str, str]:
    """What must be the same in every process of a run: formats, tokenizer, and the source itself.

    Returns:
        Value by name; `PACKAGE` is the installed version, for messages.
    """
    from dsir_core.features import TOKENIZER_VERSION
    from dsir_core.shards.count import COUNTS_VERSION
    from dsir_core.shards.extract import EXTRACT_VERSION
    from dsir_core.shards.join import JOIN_VERSION
    from dsir_core.shards.reading import READER_VERSION
    from dsir_core.shards.sample_documents import SAMPLE_VERSION
    from dsir_core.shards.score import WEIGHTS_VERSION
    from dsir_core.shards.select import SELECTION_VERSION

    return {
        PACKAGE: _installed(),
        "tokenizer": TOKENIZER_VERSION,
        "tokenizer table": _digest_of("*.npz"),
        "reader": READER_VERSION,
        "counts": COUNTS_VERSION,
        "documents": SAMPLE_VERSION,
        "weights": WEIGHTS_VERSION,
        "join": JOIN_VERSION,
        "selection": SELECTION_VERSION,
        "extract": EXTRACT_VERSION,
        "source": _digest_of("*.py"),
    }


def differences(theirs: Mapping[str, str]) -> list[str]:
    """How another process's `versions` differ from ours, in words; empty when both can work on one run."""
    mine = versions()
    names = [name for name in mine if name != PACKAGE and mine[name] != theirs.get(name)]
    return [f"{name} {theirs.get(name, 'unknown')} there, {mine[name]} here" for name in names]


def check_versions(theirs: Mapping[str, str]) -> None:
    """Return when the process that sends work has the versions of this one.

    Raises:
        MixedVersionsError: it has not; nothing was done.
    """
    mine = versions()
    if theirs is mine or all(theirs.get(name) == mine[name] for name in mine if name != PACKAGE):
        return
    raise MixedVersionsError(
        f"a worker has dsir-pipeline {mine[PACKAGE]}, the run {theirs.get(PACKAGE, 'another')}; "
        f"on the worker's side: {'; '.join(differences(theirs))}"
    )


def call_each(
    function: Callable[[Item], Result], items: Sequence[Item], wanted: Callable[[], bool] | None = None
) -> tuple[list[Result], float]:
    """Results of the items up to the first that fails, and the seconds it took.

    Raises what the first item raises; one that fails behind it runs again by itself, and then says what is wrong.

    Args:
        wanted: whether somebody waits for the results, asked now and then; what nobody wants is given up.
    """
    begin = time.perf_counter()
    results: list[Result] = []
    with while_wanted(wanted):
        for item in items:
            try:
                results.append(function(item))
            except Exception:
                if not results:
                    raise
                break
    return results, time.perf_counter() - begin


@dataclass(frozen=True)
class Assigned:
    """Whether a worker still has a task to do: not once that is cancelled, nor once the worker is closing."""

    worker: Callable[[], Any]
    """Gives the worker of this thread, an object with the attributes of `distributed.Worker`."""
    key: str
    """Of the task."""

    def __call__(self) -> bool:
        """Ask the worker, which has heard it from its scheduler."""
        worker = self.worker()
        task = worker.state.tasks.get(self.key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed")


def usual_memory(dask_worker: Any) -> tuple[str, str, int]:
    """Address of a nanny, address of its worker, and the bytes above which it usually ends that; 0 where it never does.

    Args:
        dask_worker: an object with the attributes of `distributed.Nanny`; Dask gives it by this name.
    """
    manager = dask_worker.memory_manager
    limit = getattr(manager, "usual_limit", manager.memory_limit)
    return dask_worker.address, dask_worker.worker_address or "", int(limit or 0)


def lend_memory(limits: Mapping[str, int], dask_worker: Any) -> None:
    """Let nannies end their workers above other limits than usual: bytes by the nanny's address; {} takes it back."""
    manager = dask_worker.memory_manager
    if not hasattr(manager, "usual_limit"):
        manager.usual_limit = manager.memory_limit
    manager.memory_limit = limits.get(dask_worker.address, manager.usual_limit)


@dataclass(frozen=True)
class Checked(Generic[Item, Result]):
    """A function that works only for a process with our versions."""

    function: Callable[[Item], Result]
    theirs: Mapping[str, str]

    def __call__(self, item: Item) -> Result:
        """Raises MixedVersionsError, see `check_versions`."""
        check_versions(self.theirs)
        return self.function(item)


def warm_up() -> None:
    """Import what shards need, and compile the kernels (or load them from the cache that an earlier run left)."""
    import dsir_core.shards.extract
    import dsir_core.shards.score  # noqa: F401
    from dsir_core import ngrams
    from dsir_core.config.features import FeatureSettings
    from dsir_core.corpus.formats import jsonl

    jsonl.warm_up()
    ngrams.warm_up(FeatureSettings())


def warm_up_in_background() -> None:
    """Return at once: the first shard waits for what it needs, and only for that."""
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()


def _installed() -> str:
    try:
        return metadata.version("dsir-pipeline")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _digest_of(pattern: str) -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob(pattern)):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
