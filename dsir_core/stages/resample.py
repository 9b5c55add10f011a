"""Stage resample: exact global thresholds over the stored weights, then the chosen documents of each shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsir_core.errors import RunFailedError, WorkerLostError
from dsir_core.executor import Made
from dsir_core.marking import Account, MarkTask, mark_shard
from dsir_core.model import FittedModel, split_size
from dsir_core.radix import Unit
from dsir_core.settings import Method, SampleSettings
from dsir_core.spread import Spread
from dsir_core.stages.run import Run, StageFailedError, StageWork, describe
from dsir_core.stages.score import Scores
from dsir_core.store import Receipt
from dsir_core.thresholds import Cuts, Eligible, ShardWeights, Thresholds, temperature_of


@dataclass(frozen=True, slots=True)
class Marked:
    """What is kept of one shard: where its chosen documents lie, and how many of its documents became what."""

    receipt: Receipt
    documents: int
    eligible: int
    n_selected: int


@dataclass(frozen=True)
class Sample:
    """Result of the stage."""

    marks: tuple[Marked, ...]
    """One for each shard of the scores."""
    account: Account
    names: tuple[str, ...]
    quantiles: Mapping[str, Mapping[str, float]]
    """By who selects: quantile -> log weight, over the documents eligible for it."""
    wanted: Mapping[str, int]
    """How much each of `names` should choose, in `unit`."""
    unit: Unit
    temperatures: Mapping[str, float]
    """By who selects: as asked, or as found for `target_ess`."""


def resample(run: Run, scores: Scores, model: FittedModel) -> Sample:
    """Choose the documents.

    Raises:
        RunFailedError: no document is eligible, or the weights do not hold the documents that were scored.
        StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "resample", reads_source=False)
    work.announce(scores.shards)
    spreads = _spreads(run, scores)
    cuts, quantiles, wanted, unit = _choose(run, scores, model, spreads)

    def task(index: int) -> MarkTask:
        mine, plain = (tuple(chosen.at(index) for chosen in cuts[method]) for method in (run.config.method, "top-k"))
        receipt = scores.results[index].receipt
        return MarkTask(run.config.workdir_url, receipt, model.names, mine, plain, run.config.min_tokens)

    marks, account = _mark(work, scores, Made(len(scores.results), task))
    sample = Sample(
        marks,
        account,
        model.names,
        quantiles,
        dict(zip(model.names, wanted, strict=True)),
        unit,
        {name: spread.temperature for name, spread in zip(model.names, spreads, strict=True)},
    )
    _note_shortfall(run, sample)
    return sample


def _mark(work: StageWork, scores: Scores, tasks: Sequence[MarkTask]) -> tuple[tuple[Marked, ...], Account]:
    """Mark the chosen documents of all shards: what became of each shard's, and of all."""
    total = Account()
    early: dict[int, Account] = {}
    marked: dict[int, Marked] = {}
    n_merged = 0
    for index, result in work.map(mark_shard, tasks, scores.shards):
        account = result.account
        marked[index] = Marked(result.receipt.bare(), account.documents, account.eligible, account.n_selected)
        early[index] = account
        while n_merged in early:  # in order: sums of floats depend on it
            total.merge(early.pop(n_merged))
            n_merged += 1
    work.finish()
    marks = tuple(marked[index] for index in range(len(tasks)))
    for index, mark in enumerate(marks):
        _check_account(scores, index, mark)
    return marks, total


def _spreads(run: Run, scores: Scores) -> list[Spread]:
    """What each target's log weights are divided by."""
    config = run.config
    if config.target_ess is None:
        return [Spread(config.temperature, config.length_normalise) for _ in scores.columns]
    weights = _weights(scores)
    return [
        Spread(
            temperature_of(
                run.executor,
                config.workdir_url,
                weights,
                column,
                config.length_normalise,
                config.min_tokens,
                config.target_ess,
            ),
            config.length_normalise,
        )
        for column in scores.columns
    ]


def _weights(scores: Scores) -> list[ShardWeights]:
    return [ShardWeights(result.receipt.name, result.tally.documents) for result in scores.results]


def _choose(
    run: Run, scores: Scores, model: FittedModel, spreads: list[Spread]
) -> tuple[dict[Method, Cuts], dict[str, dict[str, float]], list[int], Unit]:
    """Each shard's cuts by the run's method and by top-k, the targets choosing in order."""
    config = run.config
    weights = _weights(scores)
    search = Thresholds(
        run.executor, config.workdir_url, weights, scores.columns, config.seed, config.min_tokens, spreads
    )
    methods: list[Method] = list(dict.fromkeys([config.method, "top-k"]))
    cuts: dict[Method, Cuts] = dict.fromkeys(methods, ())
    quantiles: dict[str, dict[str, float]] = {}
    sizes: list[int] = []
    unit: Unit = "tokens" if config.tokens is not None else "documents"

    for target, name in enumerate(model.names):

        def goal(eligible: Eligible, target: int = target) -> tuple[int, Unit]:
            if not target:
                sizes.extend(split_size(_size(config, _some_eligible(run, scores, eligible)), model.proportions))
            return sizes[target], unit

        try:
            cuts, quantiles[name], _ = search.cut_target(target, cuts, goal)
        except OSError as error:
            raise StageFailedError(f"resample: the weights cannot be read: {error}") from error
        except WorkerLostError as error:
            raise StageFailedError(str(error)) from error
    return cuts, quantiles, sizes, unit


def _some_eligible(run: Run, scores: Scores, eligible: Eligible) -> int:
    if eligible.documents:
        return eligible.documents
    raise RunFailedError(
        f"no document is eligible: of {scores.tally.documents:,} none has min_tokens = {run.config.min_tokens} "
        f"tokens; lower --min-tokens"
    )


def _size(settings: SampleSettings, eligible: int) -> int:
    if settings.count is not None:
        return settings.count
    if settings.tokens is not None:
        return settings.tokens
    assert settings.fraction is not None
    return max(1, round(settings.fraction * eligible))


def _check_account(scores: Scores, index: int, mark: Marked) -> None:
    scored = scores.results[index].tally.documents
    if mark.documents != scored:
        raise RunFailedError(
            f"{describe(scores.shards[index])}: {scored:,} documents were scored, the weights hold "
            f"{mark.documents:,}; remove {scores.results[index].receipt.name} and run the same command again"
        )


def _note_shortfall(run: Run, sample: Sample) -> None:
    account = sample.account
    available = account.eligible if sample.unit == "documents" else account.eligible_tokens
    wanted = sum(sample.wanted.values())
    if wanted <= available:
        return
    run.note(f"asked for {wanted:,} {sample.unit}, only {available:,} are eligible: all of them are selected")
