"""The forecast of a run: plain figures, as `dsir plan` prints them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dsir_core.config.corpora import called
from dsir_core.config.request import SelectConfig
from dsir_core.errors import DsirError
from dsir_core.forecasting import speed as speeds
from dsir_core.forecasting import warnings
from dsir_core.forecasting.checks import Check, check_output_free, check_read, check_room, check_write
from dsir_core.forecasting.estimates import Estimate, estimate
from dsir_core.forecasting.reuse import Reuse, find_reuse
from dsir_core.forecasting.samples import (
    Sampled,
    counts_of,
    effective_sample_size,
    look_at_raw,
    look_at_target,
    sample_recovery,
)
from dsir_core.forecasting.sizes import (
    RawFigures,
    Selection,
    output_bytes,
    raw_figures,
    selection_of,
    workdir_bytes,
    worker_bytes,
)
from dsir_core.report.formatting import counted
from dsir_core.report.html import render_fragment
from dsir_core.stages.fit import fitted
from dsir_core.stages.plan import Plan, PlannedCorpus, plan
from dsir_core.stages.recover import SIZE
from dsir_core.stages.recovery_figures import recovery_figures
from dsir_core.stages.run import Run
from dsir_core.stages.sample_rate import first_rate
from dsir_core.urls import without_credentials

SECONDS_LOW, SECONDS_HIGH = 0.6, 1.8
"""By how much a stage's time is often missed: disks, networks and other users of the machine."""


@dataclass
class StageForecast:
    """What one stage has to do."""

    seconds: float
    shards: int
    reused: int | None
    """Shards whose checkpoints are there; None when that cannot be known before counting."""


@dataclass
class CorpusForecast:
    """What is known of one corpus."""

    root: str
    files: int
    stored_bytes: int
    shards: int
    documents: Estimate | None = None
    """None where no sample could be read, as the figures below."""
    tokens: Estimate | None = None


@dataclass
class Forecast:
    """What is known of a run before it is made."""

    raw: CorpusForecast
    targets: dict[str, CorpusForecast]
    workers: int
    fit_rate: float
    """Share of raw that its model is fitted on."""
    eligible: Estimate | None = None
    selection: Selection | None = None
    stages: dict[str, StageForecast] = field(default_factory=dict)
    seconds: Estimate | None = None
    """Of all stages, without the start of Prefect and Dask."""
    worker_bytes: float = 0.0
    workdir_bytes: float | None = None
    output_bytes: float | None = None
    recovery: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By who selects: held-out recovery in the samples, as in report.json."""
    effective_sample_size: float | None = None
    """Of the eligible documents of the raw sample."""
    sampled_eligible: int = 0
    """Documents of the raw sample that are eligible."""
    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def can_run(self) -> bool:
        """Whether all checks hold."""
        return all(each.ok for each in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "can_run": self.can_run}

    def _repr_html_(self) -> str:
        """Corpora, stages, checks and warnings, as a notebook shows them."""
        return render_fragment("forecast.html.jinja", f=self)


def forecast(run: Run, say: Callable[[str], None] = lambda _: None) -> Forecast:
    """Look at listings, samples and the workdir. Nothing stays written.

    Args:
        say: is told what is being done.

    Raises:
        RequestError: a glob matches nothing, ...
    """
    config = run.config
    say("listing")
    planned = plan(run)
    found = Forecast(
        _corpus(planned.raw),
        {name: _corpus(corpus) for name, corpus in planned.targets.items()},
        config.workers or _cores(),
        first_rate(config, planned.raw),
        worker_bytes=worker_bytes(config),
    )
    say("checking access")
    corpora = {"raw": planned.raw, **{called(name): corpus for name, corpus in planned.targets.items()}}
    found.checks += [check_read(what, corpus) for what, corpus in corpora.items()]
    writes = _check_writes(run)
    if all(each.ok for each in found.checks):
        _look(run, planned, found, say, has_workdir=any(each.ok for each in writes[:1]))
    found.checks += writes
    found.warnings[:0] = run.notes
    room = {config.workdir_url: found.workdir_bytes or 0.0} if config.output or config.workdir else {}
    found.checks += check_room(room | ({config.output: found.output_bytes or 0.0} if config.output else {}))
    return found


def _check_writes(run: Run) -> list[Check]:
    """Of the places that the request names; the workdir first."""
    config = run.config
    writes = [check_write("workdir", config.workdir_url)] if config.output or config.workdir else []
    return writes + ([check_write("output", config.output), check_output_free(run)] if config.output else [])


def _cores() -> int:
    """That this process may use: as many workers as a run starts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _corpus(planned: PlannedCorpus) -> CorpusForecast:
    files = planned.corpus.files
    return CorpusForecast(without_credentials(planned.corpus.root), len(files), planned.n_bytes, len(planned.shards))


@dataclass(frozen=True)
class _Samples:
    targets: Mapping[str, Sampled]
    raw: Sampled


def _look(run: Run, planned: Plan, found: Forecast, say: Callable[[str], None], *, has_workdir: bool) -> None:
    """Fill in what samples tell.

    Args:
        has_workdir: whether there is one in which results to reuse may lie.
    """
    config = run.config
    say("reading samples")
    samples = _read_samples(config, planned, found)
    if samples is None:
        return
    figures = raw_figures(samples.raw)
    _describe(found, samples, figures)
    if figures.eligible.high == 0:
        documents = counted(round(figures.documents.value), "document")
        text = f"of {documents} in raw, none with {config.min_tokens:,} tokens or more"
        found.checks.append(Check("eligible documents", False, text))
    _estimate_sizes(config, planned, found, samples.raw, figures)
    _warn(config, planned, found, samples, figures)
    try:
        counts = counts_of(samples.targets, samples.raw, figures.documents.value)
        recovery = sample_recovery(config, samples.targets, samples.raw, counts) if config.measures_recovery else {}
        fit = fitted(Run(config, run.executor), counts, recovery)  # what it notes is for the run to say
    except DsirError as error:
        found.checks.append(Check("fit a model on the samples", False, str(error)))
        return
    if config.weights is None:
        found.recovery = recovery_figures(recovery)
        size, n = effective_sample_size(config, samples.raw, fit)
        found.effective_sample_size, found.sampled_eligible = size, n
        found.warnings += warnings.warn_of_recovery(found.recovery)
    say("measuring speed")
    speed = speeds.measure_speed(config, planned.raw.shards, fit.model)
    say("looking for what can be reused")
    reuse = find_reuse(run, planned, found.fit_rate) if has_workdir else Reuse(0, 0, 0, found.fit_rate)
    found.fit_rate = reuse.rate
    recover = _recover_seconds(found, planned, samples, speed) if config.measures_recovery else None
    _time(config, found, planned, samples.raw.stored, figures, speed, reuse, recover)


def _read_samples(config: SelectConfig, planned: Plan, found: Forecast) -> _Samples | None:
    """Samples of all corpora; where one cannot be read, a check that fails, and None."""
    targets: dict[str, Sampled] = {}
    what = ""
    try:
        for name, corpus in planned.targets.items():
            what = called(name)
            targets[name] = look_at_target(config, corpus.shards)
        what = "raw"
        hashes = set[bytes]().union(*(target.hashes for target in targets.values()))
        return _Samples(targets, look_at_raw(config, planned.raw.shards, hashes))
    except (DsirError, OSError) as error:
        found.checks.append(Check(f"read a sample of {what}", False, without_credentials(str(error))))
        return None


def _estimate_sizes(config: SelectConfig, planned: Plan, found: Forecast, raw: Sampled, figures: RawFigures) -> None:
    n_shards = len(planned.raw.shards) + sum(len(corpus.shards) for corpus in planned.targets.values())
    found.selection = selection_of(config, figures)
    found.workdir_bytes = workdir_bytes(config, figures, found.selection, n_shards)
    if found.selection is not None:
        found.output_bytes = output_bytes(config, raw, found.selection)


def _warn(config: SelectConfig, planned: Plan, found: Forecast, samples: _Samples, figures: RawFigures) -> None:
    said: list[str | None] = []
    by_name = {**{called(name): target for name, target in samples.targets.items()}, "raw": samples.raw}
    for what, sample in by_name.items():
        if (why := warnings.too_many_bad(config, sample)) is not None:
            found.checks.append(Check(f"records of {what}", False, why))
    for name, target in samples.targets.items():
        tokens = found.targets[name].tokens
        said += warnings.warn_of_target(config, name, target, tokens.value * config.ngrams if tokens else 0.0)
        said.append(warnings.missing_field(planned.targets[name], target))
    said += warnings.warn_of_raw(config, samples.raw, figures, found.selection)
    said.append(warnings.missing_field(planned.raw, samples.raw))
    found.warnings += dict.fromkeys(text for text in said if text)


def _describe(found: Forecast, samples: _Samples, figures: RawFigures) -> None:
    found.raw.documents, found.raw.tokens, found.eligible = figures.documents, figures.tokens, figures.eligible
    for name, target in samples.targets.items():
        found.targets[name].documents = estimate(target.stored, target.reads, lambda read: read.documents)
        found.targets[name].tokens = estimate(target.stored, target.reads, lambda read: read.tokens)


def _time(
    config: SelectConfig,
    found: Forecast,
    planned: Plan,
    stored: Mapping[str, int],
    figures: RawFigures,
    speed: Mapping[str, speeds.Speed],
    reuse: Reuse,
    recover: float | None,
) -> None:
    """Seconds by stage, of what is left to do."""
    shards, workers = len(planned.raw.shards), found.workers
    in_targets = sum(len(corpus.shards) for corpus in planned.targets.values())
    to_count, to_score = shards - reuse.counted, shards - (reuse.scored or 0)
    counting, scoring = _left(stored, to_count, shards), _left(stored, to_score, shards)
    targets_bytes = sum(corpus.n_bytes for corpus in planned.targets.values())
    per_byte = max((each.read + each.count for each in speed.values()), default=0.0)
    targets_left = (in_targets - reuse.targets_counted) / max(1, in_targets)
    count = (
        speeds.count_seconds(speed, counting, reuse.rate, workers) + targets_bytes * per_byte * targets_left / workers
    )
    found.stages["count"] = StageForecast(count, shards + in_targets, reuse.counted + reuse.targets_counted)
    if recover is not None:
        found.stages["recover"] = StageForecast(recover, shards + in_targets, None)
    found.stages["score"] = StageForecast(speeds.score_seconds(speed, scoring, workers), shards, reuse.scored)
    if config.marks_copies:
        hashed = targets_bytes if config.exclude_target_copies else 0.0
        mark = speeds.mark_seconds(speed, figures.documents.value, hashed, shards, workers)
        found.stages["mark"] = StageForecast(mark, shards, None)
    resample = speeds.resample_seconds(figures.documents.value, shards, workers)
    if found.selection is not None:
        found.stages["resample"] = StageForecast(resample, shards, 0)
        write = speeds.write_seconds(speed, _left(stored, shards, shards), found.selection.text_bytes, workers)
        found.stages["write"] = StageForecast(write, shards, 0)
        found.stages["report"] = StageForecast(speeds.REPORT_SECONDS, 0, 0)
    seconds = sum(stage.seconds for stage in found.stages.values())
    found.seconds = Estimate(seconds, seconds * SECONDS_LOW, seconds * SECONDS_HIGH)


def _recover_seconds(found: Forecast, planned: Plan, samples: _Samples, speed: Mapping[str, speeds.Speed]) -> float:
    """Of measuring held-out recovery, in samples of raw and of the targets."""
    corpora = [(found.raw, planned.raw, samples.raw)]
    corpora += [(found.targets[name], planned.targets[name], sampled) for name, sampled in samples.targets.items()]
    seconds = 0.0
    for known, corpus, sampled in corpora:
        share = SIZE.rate(known.documents.value if known.documents else 0.0)
        amount = speeds.Amount({kind: float(n) for kind, n in sampled.stored.items()}, len(corpus.shards))
        seconds += speeds.recover_seconds(speed, amount, share, known.files, found.workers)
    return seconds


def _left(stored: Mapping[str, int], left: int, shards: int) -> speeds.Amount:
    return speeds.Amount({kind: n_stored * left / max(1, shards) for kind, n_stored in stored.items()}, left)
