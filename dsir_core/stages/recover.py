"""Stage recover: measure held-out recovery, and pick the settings that are `auto` by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dsir_core.checkpoints.kinds import RECOVERY
from dsir_core.config.request import SelectConfig
from dsir_core.config.settings import RawPrior
from dsir_core.model.compact_sample import Bound
from dsir_core.model.importance import selectors_of, shares_of
from dsir_core.model.places import Places
from dsir_core.model.smoothing import Smoothing
from dsir_core.resampling.ranks import Ranks, pick
from dsir_core.resampling.recovery import CANDIDATES, Candidate
from dsir_core.shards.recover import Found, MeasureTask, measure_recovery
from dsir_core.stages.count import Counts
from dsir_core.stages.document_samples import SampleSize, sample_corpora
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
    samples = sample_corpora(work, plan, counts, read, SIZE, places=True)
    candidates = candidates_of(config)
    tasks: dict[str, MeasureTask] = {}
    for name in selectors_of(tuple(plan.targets), config.by_target):
        mine = tuple(samples.targets[target] for target in counts.targets_of(name))
        summed = counts.counts_of(name)
        tasks[name] = MeasureTask(
            config.workdir_url,
            config.features,
            config.min_tokens,
            SIZE.bound,
            candidates,
            mine,
            summed,
            samples.raw,
            counts.raw.counts,
        )
    run.manifest.need("recover", [RECOVERY.name(task.key) for task in tasks.values()])
    found = dict(zip(tasks, work.all(measure_recovery, list(tasks.values())), strict=True))
    work.finish()
    for name in (name for name, each in found.items() if each is None):
        run.note(
            f"held-out recovery cannot be measured for target {name!r}: it needs two target documents that are no "
            f"copies of each other, and documents of target and raw with at least {config.min_tokens:,} tokens"
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
