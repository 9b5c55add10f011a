"""Stage resample: exact global thresholds over the stored weights, then the chosen documents of each shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.checkpoints.kinds import OVERVIEW
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.config.described import nearest
from dsir_core.config.methods import BASELINE, method_of
from dsir_core.corpus.fields import check_strata
from dsir_core.errors import RunFailedError, WorkerLostError
from dsir_core.resampling.methods import note_of
from dsir_core.resampling.overview import Overview, Scale
from dsir_core.resampling.radix import Unit, keys_of_bits
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.thresholds import Cuts, ShardWeights, temperature_of
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.select import Account, SelectTask, select_shard, selection_schema
from dsir_core.stages.allocation import Choice, choose
from dsir_core.stages.budgets import N_NAMED
from dsir_core.stages.count import Counts
from dsir_core.stages.fit import Fit
from dsir_core.stages.run import Run, StageFailedError
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork, describe

ESS_TOLERANCE = 0.05
"""Relative difference from the effective sample size asked for, from which on the user is told."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What is kept of one shard: where its chosen documents lie, and how many of its documents became what."""

    receipt: Receipt
    documents: int
    eligible: int
    n_selected: int


@dataclass(frozen=True)
class ResampleResult:
    """Result of the stage."""

    marks: tuple[Marked, ...]
    """One for each shard of the scores."""
    account: Account
    overview: Overview
    """Of all documents, for the report."""
    scales: tuple[Scale, ...]
    """Of the overview's histograms."""
    thresholds: Mapping[str, Sequence[float]]
    """By who selects: the smallest keys that are chosen, one where there are neither strata nor matched targets."""
    selectors: tuple[str, ...]
    quantiles: Mapping[str, Mapping[str, float]]
    """By who selects: quantile -> log weight (divided by length, where that is normalised), over the documents that
    are eligible for it."""
    wanted: Mapping[str, int]
    """How much each of `selectors` should choose, in `unit`."""
    unit: Unit
    temperatures: Mapping[str, float]
    """By who selects: as asked, or as found for `target_ess`."""
    quotas: Mapping[str, int]
    """By stratum, in `unit`, what was asked of each."""
    schema: pa.Schema
    """Of the lists of chosen documents."""


def resample(run: Run, counts: Counts, scores: Scores, fitted: Fit) -> ResampleResult:
    """Choose the documents.

    Raises:
        RunFailedError: no document is eligible, or the weights do not hold the documents that were scored.
        StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "resample", reads_source=False)
    work.announce(scores.shards)
    model = fitted.model
    with reading_weights("resample"):
        spreads = scalings_of(run, scores, fitted)
        choice = choose(run, counts, scores, model, spreads, [run.config.method])
    config = run.config
    schema = selection_schema(
        offset=config.chunk is not None, stratum=config.strata is not None, odds=config.classifies
    )

    scales = tuple(
        Scale.over(name, column, spread, choice.quantiles[name], _of_target(scores, name, index, spread))
        for index, (name, column, spread) in enumerate(zip(model.selectors, scores.columns, spreads, strict=True))
        if choice.quantiles.get(name)
    )

    def task(index: int) -> SelectTask:
        mine, plain = (tuple(cut.at(index) for cut in choice.cuts[method]) for method in (config.method, BASELINE))
        receipt = scores.results[index].receipt
        return SelectTask(config.workdir_url, receipt, model.selectors, mine, plain, config.min_tokens, schema, scales)

    marks, account, overview = _mark(work, scores, LazySequence(len(scores.results), task))
    sample = ResampleResult(
        marks,
        account,
        overview,
        scales,
        _thresholds(choice.cuts[config.method], model.selectors),
        model.selectors,
        choice.quantiles,
        choice.wanted,
        choice.unit,
        {name: spread.temperature for name, spread in zip(model.selectors, spreads, strict=True)},
        choice.quotas,
        schema,
    )
    _note_shortfall(run, sample, choice)
    _note_thresholds(run, sample)
    _note_idle_dials(run)
    _note_temperatures(run, scores, sample)
    return sample


@contextmanager
def reading_weights(stage: str) -> Iterator[None]:
    """Turn failures to read weights into failures of the stage.

    Raises:
        StageFailedError: the weights cannot be read, or a worker was lost, inside the block.
    """
    try:
        yield
    except OSError as error:
        raise StageFailedError(f"{stage}: the weights cannot be read: {error}") from error
    except WorkerLostError as error:
        raise StageFailedError(str(error)) from error


def _of_target(scores: Scores, name: str, column: int, spread: WeightScaling) -> npt.NDArray[np.float64]:
    """float64[n]: the log weights that a target's documents have themselves; those of all targets for a pooled one."""
    mine = [scores.targets[name]] if name in scores.targets else list(scores.targets.values())
    plain = [spread.normalised(found.log_weights[:, column], found.n_tokens) for found in mine]
    return np.concatenate([np.empty(0), *plain])


def _thresholds(cuts: Cuts, selectors: Sequence[str]) -> dict[str, list[float]]:
    keys = keys_of_bits(np.array([cut.bits for cut in cuts], np.uint64)).tolist()
    return {
        name: sorted(key for cut, key in zip(cuts, keys, strict=True) if cut.ranking.target == index)
        for index, name in enumerate(selectors)
    }


def _mark(work: StageWork, scores: Scores, tasks: Sequence[SelectTask]) -> tuple[tuple[Marked, ...], Account, Overview]:
    """Mark the chosen documents of all shards: what became of each shard's, and of all."""
    total, overview = Account(), Overview()
    early: dict[int, Account] = {}
    marked: dict[int, Marked] = {}
    n_merged = 0
    work.run.manifest.need("resample", [OVERVIEW.name(task.overview_key) for task in tasks])
    for index, result in work.map(select_shard, tasks, scores.shards):
        account = result.account
        marked[index] = Marked(result.receipt.compact(), account.documents, account.eligible, account.n_selected)
        early[index] = account
        overview.merge(result.overview)
        while n_merged in early:  # in order: sums of floats depend on it
            total.merge(early.pop(n_merged))
            check_strata(total.strata, work.run.config.strata, "raw")
            n_merged += 1
    work.finish()
    marks = tuple(marked[index] for index in range(len(tasks)))
    for index, mark in enumerate(marks):
        _check_account(scores, index, mark)
    return marks, total, overview


def scalings_of(run: Run, scores: Scores, fitted: Fit) -> list[WeightScaling]:
    """How each target's log weights are scaled."""
    config = run.config
    scalings = [fitted.scaling[name] for name in fitted.model.selectors]
    if config.target_ess is None:
        return [replace(scaling, temperature=config.temperature) for scaling in scalings]
    weights, found = _weights(scores), []
    for column, scaling in zip(scores.columns, scalings, strict=True):
        temperature = temperature_of(
            run.executor, config.workdir_url, weights, column, scaling, config.min_tokens, config.target_ess
        )
        found.append(replace(scaling, temperature=temperature))
    return found


def _weights(scores: Scores) -> list[ShardWeights]:
    return [ShardWeights(result.receipt.name, result.tally.documents) for result in scores.results]


def _check_account(scores: Scores, index: int, mark: Marked) -> None:
    scored = scores.results[index].tally.documents
    if mark.documents != scored:
        raise RunFailedError(
            f"{describe(scores.shards[index])}: {scored:,} documents were scored, the weights hold "
            f"{mark.documents:,}; remove {scores.results[index].receipt.name} and run the same command again"
        )


def _note_thresholds(run: Run, sample: ResampleResult) -> None:
    """Say what the method has to say of its thresholds."""
    for selector, thresholds in sample.thresholds.items():
        note = note_of(run.config.method, selector, thresholds)
        if note is not None:
            run.note(note)


def _note_idle_dials(run: Run) -> None:
    """Say which settings change nothing in what the method selects."""
    config = run.config
    asked = {
        "temperature": config.temperature != 1.0,
        "target_ess": config.target_ess is not None,
        "length_normalise": "length_normalise" in config.model_fields_set and config.length_normalise != "none",
    }
    idle = [dial for dial in method_of(config.method).ignores if asked[dial]]
    if idle:
        run.note(f"method {config.method} makes no use of {' and '.join(idle)}: what is selected is the same without")


def _note_temperatures(run: Run, scores: Scores, sample: ResampleResult) -> None:
    if run.config.target_ess is None:
        return
    wanted = run.config.target_ess * sample.account.eligible
    for name, column in zip(sample.selectors, scores.columns, strict=True):
        size = sample.account.weights[column].effective_sample_size
        if abs(size - wanted) > ESS_TOLERANCE * wanted:
            run.note(
                f"target_ess: no temperature gives {name!r} an effective sample size of {wanted:,.4g} documents; "
                f"the nearest, {sample.temperatures[name]:g}, gives {size:,.4g}"
            )


def _note_shortfall(run: Run, sample: ResampleResult, choice: Choice) -> None:
    wanted, unit = sum(choice.wanted.values()), choice.unit
    if not sample.account.n_selected and choice.unfilled < wanted:
        run.note(f"no document is selected: the first of the order does not fit into {wanted:,} {unit}")
    known = [name for name, (_, eligible, _, _) in sample.account.strata.items() if eligible]

    def there(name: str) -> str:
        near = nearest(name, known)
        return "" if near is None else f" ({near!r} is there)"

    short = [
        f"{name!r} {held:,} of {quota:,}{'' if held else there(name)}"
        for name, quota in choice.quotas.items()
        if (held := choice.held.get(name, 0)) < quota
    ]
    if short:
        more = f" and {len(short) - N_NAMED:,} more" if len(short) > N_NAMED else ""
        run.note(
            f"strata with fewer eligible {unit} than their quota: {', '.join(short[:N_NAMED])}{more}; the other strata "
            f"with a share make up for it, in proportion to their shares"
        )
    if choice.unfilled and choice.quotas:
        run.note(f"asked for {wanted:,} {unit}, the strata that have a share hold only {wanted - choice.unfilled:,}")
    elif choice.unfilled:
        available = wanted - choice.unfilled
        run.note(f"asked for {wanted:,} {unit}, only {available:,} are eligible: all of them are selected")
