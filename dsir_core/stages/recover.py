"""Stage recover: measure held-out recovery, and pick the settings that are `auto` by it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import load_or_make
from dsir_core.checkpoints.kinds import RECOVERY
from dsir_core.checkpoints.receipts import Draft
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.request import SelectConfig
from dsir_core.config.settings import RawPrior
from dsir_core.model.compact_sample import Bound
from dsir_core.model.importance import selectors_of, shares_of
from dsir_core.model.places import Places
from dsir_core.model.smoothing import Smoothing
from dsir_core.resampling.ranks import Ranks, pick
from dsir_core.resampling.recovery import CANDIDATES, Candidate, Sample, measure, tokens_of
from dsir_core.stages.count import Counts, content_of
from dsir_core.stages.document_samples import (
    SampleSize,
    StoredSample,
    load_places,
    load_sample,
    sample_raw,
    sample_target,
)
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork

SIZE = SampleSize(Bound(10_000, 4_000_000), times=2)
"""Of the sample of raw, and of that of each target."""


@dataclass(frozen=True)
class Measured:
    """The recovery of one target that selects, or of all targets together."""

    candidates: tuple[Candidate, ...]
    ranks: tuple[Ranks, ...]
    """One for each candidate."""
    picked: int
    """Index of the best candidate; a run that keeps an earlier model may use another."""
    share: float
    """Of the eligible raw documents, about what the target selects: what the candidates are judged at."""
    eligible: float
    """Eligible raw documents, about."""
    targets: tuple[str, ...] = ()
    """Whose documents were hidden."""
    places: Places | None = None
    """Where these stand; None in a forecast."""

    @property
    def candidate(self) -> Candidate:
        """The settings that are picked."""
        return self.candidates[self.picked]

    @property
    def chosen(self) -> Ranks:
        """The ranks under these settings."""
        return self.ranks[self.picked]


Recovery = Mapping[str, Measured]
"""By who selects; without those whose recovery cannot be measured."""


def recover(run: Run, plan: Plan, counts: Counts) -> Recovery:
    """Measure held-out recovery for each target that selects.

    Raises:
        RunFailedError: damaged files. StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "recover", leaves_out=True)
    config = run.config
    # With chunks, the target is cut as raw is.
    read = config.read.unfiltered
    raw = sample_raw(work, plan, counts, SIZE)
    targets = {name: sample_target(work, plan, counts, name, read, SIZE, places=True) for name in plan.targets}
    candidates = candidates_of(config)
    tasks: dict[str, MeasureTask] = {}
    for name in selectors_of(tuple(targets), config.by_target):
        mine = tuple(targets[target] for target in counts.targets_of(name))
        summed = counts.counts_of(name)
        tasks[name] = MeasureTask(
            config.workdir_url, config.features, config.min_tokens, candidates, mine, summed, raw, counts.raw.counts
        )
    run.manifest.need("recover", [RECOVERY.name(task.key) for task in tasks.values()])
    found = dict(zip(tasks, work.all(measure_recovery, list(tasks.values())), strict=True))
    work.finish()
    for name in (name for name, each in found.items() if each is None):
        run.note(
            f"target {name!r}: held-out recovery cannot be measured: it needs two target documents that are not copies "
            f"of each other, and documents of target and raw with at least {config.min_tokens:,} tokens"
        )
    return recovery_of(config, counts, found)


def recovery_of(config: SelectConfig, counts: Counts, found: Mapping[str, Found | None]) -> Recovery:
    """What was measured for each who selects, and the candidate that is best at the share that the run selects."""
    measured = {name: each for name, each in found.items() if each is not None}
    if not measured:
        return {}
    documents, parts = counts.raw.tally.documents / counts.rate, _parts(config, counts)
    candidates = candidates_of(config)
    return {
        name: replace(
            _measured(config, candidates, each, documents, parts[name]), targets=tuple(counts.targets_of(name))
        )
        for name, each in measured.items()
    }


def candidates_of(config: SelectConfig) -> tuple[Candidate, ...]:
    """What is tried: the settings asked for, or where one is `auto` all of `CANDIDATES` that agree with the other."""
    smoothing, length = config.smoothing, config.length_normalise
    if smoothing != "auto" and length != "auto":
        return (Candidate(smoothing_of(smoothing), length),)
    lengths = dict.fromkeys(candidate.length for candidate in CANDIDATES) if length == "auto" else [length]
    smoothings = dict.fromkeys(candidate.smoothing for candidate in CANDIDATES)
    if smoothing != "auto":
        smoothings = dict.fromkeys([smoothing_of(smoothing)])
    return tuple(Candidate(one, other) for one in smoothings for other in lengths)


def smoothing_of(asked: float | RawPrior) -> Smoothing:
    """The smoothing that a setting asks for."""
    return Smoothing(raw_prior=asked.raw_prior) if isinstance(asked, RawPrior) else Smoothing(laplace=asked)


@dataclass(frozen=True)
class MeasureTask:
    """One target whose recovery is wanted."""

    workdir: str
    features: FeatureSettings
    min_tokens: int
    candidates: tuple[Candidate, ...]
    target: tuple[StoredSample, ...]
    """Documents of each of the corpora that it is made of."""
    target_counts: npt.NDArray[np.int64]
    raw: StoredSample
    raw_counts: npt.NDArray[np.int64]

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return RECOVERY.key(
            {
                "features": self.features,
                "min_tokens": self.min_tokens,
                "candidates": [[*asdict(one.smoothing).values(), one.length] for one in self.candidates],
                "target": [sample.signature for sample in self.target],
                "raw": self.raw.signature,
                "counts": [content_of(self.target_counts), content_of(self.raw_counts)],
            }
        )


@dataclass(frozen=True)
class Found:
    """What a task finds."""

    ranks: tuple[Ranks, ...]
    """One for each candidate."""
    eligible_share: float
    """Of the documents of raw, those that are eligible."""
    tokens: float
    """Mean of the eligible documents of raw."""
    places: Places | None = None
    """Of the hidden documents."""


def measure_recovery(task: MeasureTask) -> Found | None:
    """Measure the recovery of a target into the store, or take what is there; None where it cannot be measured."""
    store = Store(task.workdir)

    def make(draft: Draft) -> list[Found]:
        target, raw = (load_sample(store, samples, SIZE.bound) for samples in (task.target, (task.raw,)))
        sample = Sample(target, task.target_counts, raw, task.raw_counts, task.features.ngrams, task.min_tokens)
        found = found_in(sample, task.candidates)
        found = found and replace(found, places=load_places(store, task.target, target))
        draft.stream.write(_to_bytes(found))
        return [] if found is None else [found]

    done = load_or_make(store, RECOVERY, task.key, lambda _, data: _from_bytes(data), make)
    return done.value[0] if done.value else None


def found_in(sample: Sample, candidates: Sequence[Candidate]) -> Found | None:
    """The recovery in a sample; None where it cannot be measured."""
    ranks = measure(sample, candidates)
    if ranks is None:
        return None
    tokens = tokens_of(sample.raw, sample.ngrams)
    eligible = tokens[tokens >= sample.min_tokens]
    return Found(tuple(ranks), len(eligible) / len(tokens), float(eligible.mean()))


def _to_bytes(found: Found | None) -> bytes:
    buffer = io.BytesIO()
    if found is None:
        np.savez(buffer)
    else:
        arrays: dict[str, Any] = {"above": np.stack([ranks.above for ranks in found.ranks])}
        arrays |= {"raw": found.ranks[0].n_raw, "eligible_share": found.eligible_share, "tokens": found.tokens}
        arrays |= found.places.arrays() if found.places is not None else {}
        np.savez(buffer, **arrays)
    return buffer.getvalue()


def _from_bytes(data: bytes) -> list[Found]:
    """What was found; nothing where the recovery cannot be measured."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        if "above" not in arrays:
            return []
        ranks = tuple(Ranks(above, int(arrays["raw"])) for above in arrays["above"])
        return [Found(ranks, float(arrays["eligible_share"]), float(arrays["tokens"]), Places.from_arrays(arrays))]


def _measured(
    config: SelectConfig, candidates: tuple[Candidate, ...], found: Found, documents: float, part: float
) -> Measured:
    eligible = max(1.0, documents * found.eligible_share)
    share = min(1.0, part * _wanted(config, eligible, found.tokens) / eligible)
    return Measured(candidates, found.ranks, pick(found.ranks, share), share, eligible, places=found.places)


def _wanted(config: SelectConfig, eligible: float, tokens: float) -> float:
    """Documents that the run selects, about."""
    if config.count is not None:
        return float(config.count)
    if config.tokens is not None:
        return config.tokens / tokens
    if config.fraction is not None:
        return config.fraction * eligible
    # A run that only scores has no size.
    return float(sum(config.quotas.values())) if isinstance(config.quotas, dict) else 0.01 * eligible


def _parts(config: SelectConfig, counts: Counts) -> dict[str, float]:
    """Of the selection, what each who selects takes."""
    selectors = selectors_of(tuple(counts.targets), config.by_target)
    if not config.by_target:
        return dict.fromkeys(selectors, 1.0)
    ngrams = [float(counts.counts_of(name).sum()) for name in selectors]
    return dict(zip(selectors, shares_of(selectors, ngrams, proportions_of(config, counts)), strict=True))


def proportions_of(config: SelectConfig, counts: Counts) -> Mapping[str, float] | None:
    """Share of the selection for each separate target: as asked for, or with `match` the targets' own sizes.

    None where they are divided by numbers of n-grams.
    """
    if config.proportions is not None or not config.match:
        return config.proportions
    by_tokens = config.tokens is not None
    tallies = {name: target.tally for name, target in counts.targets.items()}
    return {name: float(tally.tokens if by_tokens else tally.documents) for name, tally in tallies.items()}
