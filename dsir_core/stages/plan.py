"""Stage plan: from globs to shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dsir_core.checkpoints.store import Store
from dsir_core.config.corpora import called
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.listing import Corpus, list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import Shard, SourceFile
from dsir_core.errors import RequestError
from dsir_core.report.formatting import counted
from dsir_core.runtime.events import StageEnds
from dsir_core.stages.earlier_runs import is_in_workdir, is_page, written_by_runs
from dsir_core.stages.run import Run

Note = Callable[[str], None]


@dataclass(frozen=True)
class PlannedCorpus:
    """A corpus and the shards it is cut into."""

    corpus: Corpus
    shards: tuple[Shard, ...]

    @property
    def n_bytes(self) -> int:
        """Stored bytes."""
        return sum(file.size for file in self.corpus.files)


@dataclass(frozen=True)
class Plan:
    """What a run reads."""

    raw: PlannedCorpus
    targets: Mapping[str, PlannedCorpus]
    """In the order in which separate targets select."""
    notes: tuple[str, ...] = ()
    """What the user should know of them."""


def plan(run: Run) -> Plan:
    """List the corpora and cut them into shards, or take what was listed before the run.

    Raises:
        RequestError: a glob matches nothing, a file is of no known kind, ...
    """
    begin = time.perf_counter()
    found = run.planned or make_plan(run.config)
    for text in found.notes:
        run.note(text)
    ends = StageEnds("plan", time.perf_counter() - begin, len(found.raw.shards), 0, 0)
    run.stages["plan"] = ends
    run.observe(ends)
    return found


def make_plan(config: SelectConfig) -> Plan:
    """List the corpora of a request and cut them into shards.

    Raises:
        RequestError: a glob matches nothing, a file is of no known kind, ...
    """
    notes: list[str] = []
    raw = _planned(config, "raw", config.raw, notes.append)
    targets = {name: _planned(config, called(name), specs, notes.append) for name, specs in config.target.items()}
    return Plan(raw, targets, tuple(notes))


def _planned(config: SelectConfig, what: str, specs: tuple[str, ...], note: Note) -> PlannedCorpus:
    try:
        corpus = list_corpus(specs)
    except RequestError as error:
        raise RequestError(f"{what}: {error}") from None
    ignored = [name for name in corpus.ignored if not (is_in_workdir(name) or is_page(name))]
    if ignored:
        shown = ", ".join(ignored[:3])
        note(f"{what}: passed over {counted(len(ignored), 'file')} of no known kind: {shown}")
    if corpus.special:
        shown = ", ".join(corpus.special[:3])
        some = "entry that is not a regular file" if len(corpus.special) == 1 else "entries that are not regular files"
        note(f"{what}: left out {len(corpus.special):,} {some}: {shown}")
    if corpus.unversioned:
        note(
            f"{what}: storage reports no version (ETag, time of modification) of "
            f"{counted(corpus.unversioned, 'file')}: a change of their content cannot be seen, "
            f"and later runs do not reuse what was computed from them"
        )
    files = _not_of_earlier_runs(_not_ours(config, what, corpus, note), what, specs, note)
    return PlannedCorpus(replace(corpus, files=files), tuple(plan_shards(files, config.shard_bytes)))


def _not_ours(config: SelectConfig, what: str, corpus: Corpus, note: Note) -> tuple[SourceFile, ...]:
    """The files of a corpus that do not lie in this run's output or workdir: those are results, and may be replaced.

    Raises:
        RequestError: all of them do.
    """
    ours = [Store(url) for url in (config.output, config.workdir_url) if url]
    files = tuple(file for file in corpus.files if not any(store.holds(file.url) for store in ours))
    left_out = len(corpus.files) - len(files)
    if left_out and not files:
        raise RequestError(f"{what}: all its files lie in the output or the workdir of this run; choose others")
    if left_out:
        note(f"{what}: passed over {counted(left_out, 'file')} in the output or the workdir of this run")
    return files


def _not_of_earlier_runs(
    files: tuple[SourceFile, ...], what: str, specs: tuple[str, ...], note: Note
) -> tuple[SourceFile, ...]:
    """The files that no earlier run has written.

    Raises:
        RequestError: all of them were.
    """
    written = written_by_runs(files, specs)
    kept = tuple(file for file in files if file.path not in written)
    if written and not kept:
        raise RequestError(f"{what}: all its files lie in workdirs and outputs of earlier runs; name the files to read")
    if written:
        note(f"{what}: passed over {counted(len(written), 'file')} in workdirs and outputs of earlier runs")
    return kept
