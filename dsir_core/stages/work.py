"""How a stage maps over shards: its clock, its counts, and the shards that failed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from dsir_core.checkpoints.kinds import COUNTS, WEIGHTS
from dsir_core.checkpoints.manifest import complete_checkpoints
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.errors import DamagedFileError, RequestError, RunFailedError, WorkerLostError
from dsir_core.report.formatting import counted
from dsir_core.runtime.events import ShardDone, ShardFailed, SlowShard, StageBegins, StageEnds
from dsir_core.shards.task import ShardTask
from dsir_core.stages.budgets import N_NAMED, check_damaged_shards
from dsir_core.stages.run import Run, StageFailedError, way_on

N_SLOWEST = 5
"""Shards that are named for the time they took."""


class ShardResult(Protocol):
    """What shard functions return."""

    @property
    def reused(self) -> bool:
        """Whether the checkpoint was complete already."""
        ...

    @property
    def seconds(self) -> float:
        """Time that the shard took."""
        ...

    @property
    def tally(self) -> Tally:
        """The account of what was read."""
        ...


Task = TypeVar("Task", bound=ShardTask)
Result = TypeVar("Result", bound=ShardResult)


@dataclass
class StageWork:
    """Bookkeeping of one stage: its clock, its counts, its failed shards."""

    run: Run
    name: str
    reads_source: bool = True
    """Whether its shards read source files, whose bytes then count as read."""
    leaves_out: bool = False
    """Whether the run can do without a shard that ends every worker that tries it."""
    begin: float = field(default_factory=time.perf_counter)
    shards: int = 0
    reused: int = 0
    n_bytes: int = 0
    damaged: dict[Shard, DamagedFileError | WorkerLostError] = field(default_factory=dict)
    """Shards left out because a file of theirs is damaged, or because they end every worker."""
    _failed: list[tuple[str, Exception]] = field(default_factory=list)
    _slowest: list[tuple[float, int, Shard]] = field(default_factory=list)
    """A heap of seconds, number of the shard's result, shard."""

    def __post_init__(self) -> None:
        self._retries_before = self.run.retries

    def announce(self, shards: Sequence[Shard]) -> None:
        """Tell the observer what is to be done."""
        self.run.observe(StageBegins(self.name, len(shards), sum(map(self._n_bytes, shards))))

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], shards: Sequence[Shard]
    ) -> Iterator[tuple[int, Result]]:
        """Run a shard function over tasks, the i-th reading `shards[i]`; yields (index, result) as they come.

        Shards that fail are collected, for `judge` when all others are done.

        Raises:
            RequestError: the run only resamples, and checkpoints of this stage are missing.
        """
        if self.run.only_resamples:
            check_complete(self.run, tasks, shards)
        self.run.manifest.need(self.name, [task.checkpoint for task in tasks])
        for outcome in self.run.executor.map(function, tasks, name=self.name):
            shard = shards[outcome.index]
            if outcome.error is not None:
                self.fail(shard, outcome.error)
                continue
            assert outcome.result is not None
            self._count(shard, outcome.result)
            yield outcome.index, outcome.result

    def add(self, shards: int, reused: int) -> None:
        """Count shards that were done in another way than by `map`."""
        self.shards += shards
        self.reused += reused

    def all(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Run a function over items that are no shards: all results, in order.

        Raises:
            RunFailedError: a file is damaged now.
            StageFailedError: an item failed for a reason that may pass.
        """
        results: list[Any] = [None] * len(items)
        for outcome in self.run.executor.map(function, items, name=self.name):
            if isinstance(outcome.error, DamagedFileError):
                raise RunFailedError(f"{self.name}: {outcome.error}; the file changed during the run")
            if outcome.error is not None:
                raise StageFailedError(
                    f"{self.name}: {type(outcome.error).__name__}: {outcome.error}. Finished shards are kept: "
                    f"{way_on([outcome.error])}"
                ) from outcome.error
            results[outcome.index] = outcome.result
        return results

    def judge(self) -> None:
        """Look at the shards that failed, when all others are done.

        Raises:
            StageFailedError: shards failed for a reason that may pass.
            RunFailedError: more shards hold a damaged file, or end every worker, than may be left out.
        """
        if self._failed:
            raise StageFailedError(_failure(self.name, self._failed))
        check_damaged_shards(self.run, self.name, list(self.damaged.values()))

    def finish(self) -> StageEnds:
        """Close the stage.

        Raises:
            RunFailedError: see `judge`.
        """
        self.judge()
        for shard, error in self.damaged.items():
            self.run.note(f"left out, with the shard of {counted(len(files_of(shard)), 'file')}: {error}")
        ends = StageEnds(
            self.name,
            time.perf_counter() - self.begin,
            self.shards,
            self.reused,
            self.n_bytes,
            self.run.retries - self._retries_before,
            tuple(SlowShard(seconds, describe(s), s.n_bytes) for seconds, _, s in sorted(self._slowest, reverse=True)),
        )
        self.run.stages[self.name] = ends
        self.run.observe(ends)
        return ends

    def _n_bytes(self, shard: Shard) -> int:
        """Stored bytes of source files that a shard of this stage reads."""
        return shard.n_bytes if self.reads_source else 0

    def _count(self, shard: Shard, result: ShardResult) -> None:
        self.shards += 1
        self.reused += result.reused
        self.n_bytes += 0 if result.reused else self._n_bytes(shard)
        if not result.reused:
            keep = heapq.heappush if len(self._slowest) < N_SLOWEST else heapq.heappushpop
            keep(self._slowest, (result.seconds, self.shards, shard))
        self.run.observe(
            ShardDone(
                self.name,
                self._n_bytes(shard),
                result.tally.documents,
                result.tally.bad,
                result.reused,
                result.seconds,
            )
        )

    def fail(self, shard: Shard, error: Exception) -> None:
        """Note a shard that failed, for `judge`."""
        self.run.observe(ShardFailed(self.name, describe(shard), str(error)))
        if isinstance(error, DamagedFileError):
            self.damaged[shard] = error
        elif self.leaves_out and isinstance(error, WorkerLostError):
            self.damaged[shard] = WorkerLostError(f"{describe(shard)}: {error}")
        else:
            self._failed.append((describe(shard), error))


def check_complete(run: Run, tasks: Sequence[ShardTask], shards: Sequence[Shard]) -> None:
    """Look whether counts or weights of shards are in the workdir; other checkpoints may be missing.

    As many may be missing as shards may be left out: an earlier run has none of those either.

    Raises:
        RequestError: more are missing.
    """
    if not tasks or (kind := tasks[0].kind) not in (COUNTS, WEIGHTS):
        return
    complete = complete_checkpoints(run.store, kind)
    missing = [shard for task, shard in zip(tasks, shards, strict=True) if task.checkpoint not in complete]
    if len(missing) > run.config.max_bad_shards:
        raise RequestError(
            f"{run.store.redacted} lacks the {kind.folder} of {len(missing):,} of {counted(len(shards), 'shard')} for "
            f"this request, first {describe(missing[0])}: files or settings have changed, or an earlier run was "
            f"interrupted. To compute what is missing, run dsir score or dsir select with the same request"
        )


def describe(shard: Shard) -> str:
    """A shard in words: its file and range, or its first file and how many more."""
    if not shard.ranges:
        return "nothing"
    first = shard.ranges[0]
    more = len(shard.ranges) - 1
    span = f" [{first.start}, {first.stop})" if first.stop >= 0 else ""
    return f"{first.file.path}{span}" + (f" and {counted(more, 'more range')}" if more else "")


def files_of(shard: Shard) -> list[str]:
    """Paths of the files that a shard reads."""
    return list(dict.fromkeys(file_range.file.path for file_range in shard.ranges))


def _failure(stage: str, failed: list[tuple[str, Exception]]) -> str:
    named = "; ".join(f"{shard}: {type(error).__name__}: {error}" for shard, error in failed[:N_NAMED])
    return (
        f"{stage}: {counted(len(failed), 'shard')} failed: {named}. Finished shards are kept: "
        f"{way_on([error for _, error in failed])}"
    )
