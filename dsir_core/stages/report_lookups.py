"""What the report stage looks up in documents when the selection is written: samples and examples, both bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsir_core.config.methods import method_of
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.types import FileRange, Shard
from dsir_core.model.importance import distribution
from dsir_core.resampling.candidates import KINDS, Candidate
from dsir_core.shards.bucket_names import (
    SAMPLE_BYTES,
    SAMPLE_PIECES,
    BucketNames,
    NamesTask,
    describe_moved,
    moved_buckets,
    name_buckets,
)
from dsir_core.shards.examples import ExamplesTask, Place, WeighedBy, read_examples
from dsir_core.shards.excerpts import Excerpt
from dsir_core.stages.count import Counts
from dsir_core.stages.plan import Plan
from dsir_core.stages.resample import ResampleResult
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork
from dsir_core.stages.write import Written

Json = dict[str, Any]


@dataclass(frozen=True)
class Stages:
    """The results of all stages before the report."""

    plan: Plan
    counts: Counts
    scores: Scores
    chosen: ResampleResult
    written: Written
    model_digest: str


def histograms(method: str, stages: Stages) -> Json:
    """By who selects: log weights of raw, of the selection and of each target it is for, in the same bins."""
    chosen, weighed = stages.chosen, stages.scores.targets
    how = method_of(method)
    shown: Json = {}
    for scale in chosen.scales:
        raw, selected = chosen.overview.histograms[scale.target]
        positive = chosen.overview.positive[scale.target].tolist()
        column = chosen.selectors.index(scale.target)
        mine = {name: found for name, found in weighed.items() if len(chosen.selectors) == 1 or name == scale.target}
        # Keys may be log weights divided by the temperature, and noise.
        keys = chosen.thresholds[scale.target] if how.by_weight else []
        unit = scale.spread.temperature if "temperature" in how.dials else 1.0
        shown[scale.target] = {
            "low": scale.low,
            "high": scale.high,
            "raw": raw.tolist(),
            "selected": selected.tolist(),
            "targets": {
                name: scale.count(found.log_weights[:, column], found.n_tokens).tolist() for name, found in mine.items()
            },
            "positive": {"raw": positive[0], "selected": positive[1]},
            "thresholds": [key * unit for key in keys if np.isfinite(key)],
        }
    return shown


def moved(work: StageWork, stages: Stages) -> Json | None:
    """The buckets that changed most from raw to the selection, and their n-grams; None without a selection."""
    selected = stages.written.counts.sum(axis=0)
    raw = stages.counts.raw.counts
    if not selected.any() or not raw.any():
        return None
    p_raw, p_selected = distribution(raw), distribution(selected)
    change, gained, lost = moved_buckets(p_raw, p_selected)
    config = work.run.config
    features, read = config.features, config.read.unconditional
    # Pieces of documents are written as records of their own.
    is_piece = config.chunk is not None and not config.whole_documents
    written_as = read.model_copy(update={"text_field": ("text",)}) if is_piece else read
    samples = (
        Excerpt.spread(stages.scores.shards, read, SAMPLE_PIECES, SAMPLE_BYTES),
        Excerpt.spread(_some_chosen(work, stages.written), written_as, SAMPLE_PIECES, SAMPLE_BYTES),
    )
    tasks = [NamesTask(sample, features, (*gained, *lost)) for sample in samples]
    in_raw, in_selected = work.all(name_buckets, tasks)

    def described(buckets: list[int], names: Mapping[int, BucketNames]) -> list[dict[str, object]]:
        return describe_moved(buckets, change, p_raw, p_selected, names)

    return {
        "gained": described(gained, in_selected),
        "lost": described(lost, in_raw),
        "sample_bytes": SAMPLE_BYTES,
        "buckets": features.buckets,
    }


def examples(work: StageWork, stages: Stages) -> list[Json]:
    """Selected, just selected, just missed and rejected documents, with their heaviest passages."""
    found = stages.chosen.overview.candidates
    config = work.run.config
    wanted: dict[str, dict[Place, str]] = {}
    for candidate in (one for kind in KINDS for one in found.get(kind, [])):
        wanted.setdefault(candidate.file, {})[_place(candidate)] = candidate.target
    files = {file.path: file for file in stages.plan.raw.corpus.files if file.path in wanted}
    by = WeighedBy(config.workdir_url, stages.model_digest, config.features) if config.weights is None else None
    tasks = [
        ExamplesTask(
            files[path],
            config.read.unconditional,
            tuple(sorted(places)),
            tuple(places[place] for place in sorted(places)),
            config.chunk,
            config.example_fields,
            by,
        )
        for path, places in sorted(wanted.items())
    ]
    shown = {
        (task.file.path, place): example
        for task, read in zip(tasks, work.all(read_examples, tasks), strict=True)
        for place, example in zip(task.places, read, strict=True)
    }
    return [
        {"kind": kind, **_shown(candidate), **vars(shown[candidate.file, _place(candidate)])}
        for kind in KINDS
        for candidate in found.get(kind, [])
    ]


def _place(candidate: Candidate) -> Place:
    return candidate.position, candidate.offset or 0


def _shown(candidate: Candidate) -> Json:
    return {
        "file": candidate.file,
        "position": candidate.position,
        **({} if candidate.offset is None else {"offset": candidate.offset}),
        "tokens": candidate.n_tokens,
        "target": candidate.target,
        "log_weight": finite(candidate.log_weight),
        "key": finite(candidate.key),
        "threshold": finite(candidate.threshold),
    }


def finite(value: float) -> float | None:
    """A number that JSON can hold."""
    return value if np.isfinite(value) else None


def _some_chosen(work: StageWork, written: Written) -> list[Shard]:
    """Chosen records as a corpus: those in the workdir, since the output's parts move while it is completed."""
    workdir = work.run.config.workdir_url.rstrip("/")
    corpus = list_corpus([f"{workdir}/{name}" for name in written.extracts])
    return [Shard(index, (FileRange(file),), file.size) for index, file in enumerate(corpus.files)]
