"""What must be the same in every process of a run, and how a worker checks it before it does any work."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Generic, TypeVar

from dsir_core.checkpoints.kinds import KINDS
from dsir_core.errors import MixedVersionsError
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.shards.reading import READER_VERSION

Item = TypeVar("Item")
Result = TypeVar("Result")

PACKAGE = "package"
"""The key in `versions` that is only shown: an installation's name says less than its source."""


@functools.cache
def versions() -> dict[str, str]:
    """What must be the same in every process of a run: formats of checkpoints, tokenizer, and the source itself.

    Returns:
        Value by name; `PACKAGE` is the installed version, for messages.
    """
    return {
        PACKAGE: _installed(),
        "tokenizer": TOKENIZER_VERSION,
        "tokenizer table": _digest_of("*.npz"),
        "reader": READER_VERSION,
        **{kind.folder: kind.format for kind in KINDS},
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


@dataclass(frozen=True)
class Checked(Generic[Item, Result]):
    """A function that works only for a process with our versions."""

    function: Callable[[Item], Result]
    theirs: Mapping[str, str]

    def __call__(self, item: Item) -> Result:
        """Raises MixedVersionsError, see `check_versions`."""
        check_versions(self.theirs)
        return self.function(item)


def _installed() -> str:
    try:
        return metadata.version("dsir-pipeline")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _digest_of(pattern: str) -> str:
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob(pattern)):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
