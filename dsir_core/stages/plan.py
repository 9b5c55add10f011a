"""Stage plan: from globs to shards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from dsir_core.corpus.listing import Corpus, list_corpus
from dsir_core.corpus.shards import plan_shards
from dsir_core.corpus.types import Shard
from dsir_core.errors import RequestError
from dsir_core.progress import Note, StageEnds
from dsir_core.stages.run import Run


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


def plan(run: Run) -> Plan:
    """List the corpora and cut them into shards.

    Raises:
        RequestError: a glob matches nothing, a file is of no known kind, ...
    """
    begin = time.perf_counter()
    raw = _planned(run, "raw", run.config.raw)
    targets = {name: _planned(run, f"target {name}", specs) for name, specs in run.config.target.items()}
    ends = StageEnds("plan", time.perf_counter() - begin, len(raw.shards), 0, 0)
    run.stages["plan"] = ends
    run.observe(ends)
    return Plan(raw, targets)


def _planned(run: Run, what: str, specs: tuple[str, ...]) -> PlannedCorpus:
    try:
        corpus = list_corpus(specs)
    except RequestError as error:
        raise RequestError(f"{what}: {error}") from None
    if corpus.ignored:
        shown = ", ".join(corpus.ignored[:3])
        note = f"{what}: {len(corpus.ignored):,} files of no known kind are passed over: {shown}"
        run.notes.append(note)
        run.observe(Note(note))
    return PlannedCorpus(corpus, tuple(plan_shards(corpus.files, run.config.shard_bytes)))
