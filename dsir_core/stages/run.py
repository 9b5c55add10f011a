"""One run: what it is asked, where it works, who works, who watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dsir_core.checkpoints.manifest import Manifest
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import SelectConfig
from dsir_core.errors import RunFailedError
from dsir_core.runtime.events import Note, Observer, Retried, StageEnds, ignore
from dsir_core.runtime.executor import Executor, WatchedExecutor
from dsir_core.storage.connect import storage_settings
from dsir_core.storage.retries import Effects, collect_effects, is_transient
from dsir_core.urls import without_credentials

if TYPE_CHECKING:
    from dsir_core.stages.plan import Plan


class StageFailedError(RunFailedError):
    """Shards of a stage failed for a reason that may pass (storage, a lost worker): entering it again may help."""


def way_on(errors: Sequence[BaseException]) -> str:
    """What to do after a stage has failed: a cause that lasts in storage has to be removed first."""
    if all(isinstance(error, OSError) and not is_transient(error) for error in errors):
        return "remove the cause; the same command then goes on from there"
    return "run the same command again to go on"


@dataclass
class Run:
    """One run of the pipeline: what it is asked, where it works, who works, who watches."""

    config: SelectConfig
    executor: Executor
    observe: Observer = ignore
    record: str = ""
    """Name below the output of what the run makes, in the workdir's record of runs; empty: the selection itself."""
    stages: dict[str, StageEnds] = field(default_factory=dict)
    """Finished stages."""
    notes: list[str] = field(default_factory=list)
    """Warnings that belong into the report."""

    planned: Plan | None = None
    """What is read, where it was listed before the run."""
    only_resamples: bool = False
    """Refuse to count or score: counts and weights of all shards must be in the workdir."""
    retries: int = 0
    """Requests to storage that were made again."""
    _said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unwatched = self.executor
        self.executor = WatchedExecutor(self.executor, self.config.storage, self._tell, self.observe)
        with storage_settings(self.config.storage):
            self.store = Store(self.config.workdir_url)
        output = self.config.redacted().output
        self.manifest = Manifest(self.store, f"{output.rstrip('/')}/{self.record}" if self.record else output)

    @contextmanager
    def with_storage(self, stage: str = "") -> Iterator[None]:
        """Reach storage as the request says, inside the block, and remember what happened on the way.

        Raises:
            StageFailedError: storage failed for a reason that may pass.
            RunFailedError: it failed for another.
        """
        with storage_settings(self.config.storage), collect_effects() as effects:
            try:
                yield
            except OSError as error:
                kind = StageFailedError if is_transient(error) else RunFailedError
                raise kind(
                    f"{stage or 'storage'}: {type(error).__name__}: {without_credentials(str(error))}. "
                    f"What is finished is kept: {way_on([error])}"
                ) from error
            finally:
                self._tell(effects)

    def _tell(self, effects: Effects) -> None:
        self.retries += effects.retries
        if effects.retries:
            self.observe(Retried(effects.retries))
        for warning in effects.warnings:
            self.note(warning)

    def note(self, text: str) -> None:
        """Tell the user something that belongs into the report, too; once, though a stage is entered again."""
        if text in self._said:
            return
        self._said.add(text)
        self.notes.append(text)
        self.observe(Note(text))
