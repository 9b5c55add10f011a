"""How much each target takes of which documents: sizes, proportions, quotas of strata, and the thresholds for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dsir_core.config.methods import BASELINE
from dsir_core.config.settings import SampleSettings
from dsir_core.errors import RunFailedError
from dsir_core.model.importance import FittedModel
from dsir_core.resampling.keys import EVERYONE, Pool
from dsir_core.resampling.passes import Strata
from dsir_core.resampling.quotas import divide, divide_table, fill
from dsir_core.resampling.radix import Unit
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.thresholds import Cuts, Eligible, ShardWeights, Thresholds
from dsir_core.stages.budgets import N_NAMED
from dsir_core.stages.count import Counts
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores


@dataclass
class Choice:
    """What is chosen, and what was asked for."""

    cuts: dict[str, Cuts]
    """By the methods asked for, and by `BASELINE`."""
    unit: Unit
    quantiles: dict[str, dict[str, float]] = field(default_factory=dict)
    """By who selects: quantile -> log weight, over the documents eligible for it."""
    wanted: dict[str, int] = field(default_factory=dict)
    """By who selects, in `unit`."""
    quotas: dict[str, int] = field(default_factory=dict)
    """By stratum, in `unit`: what was asked of each."""
    held: dict[str, int] = field(default_factory=dict)
    """By stratum, in `unit`: what is eligible, where there are quotas."""
    unfilled: int = 0
    """In `unit`: what was asked for, and is not there."""


def choose(
    run: Run,
    counts: Counts,
    scores: Scores,
    model: FittedModel,
    spreads: list[WeightScaling],
    methods: Sequence[str],
) -> Choice:
    """The thresholds of all targets, which choose in order.

    With `match` each target first takes of the documents that are nearest to it, and what it then lacks of the rest.
    With quotas each stratum has a threshold of its own.

    Args:
        methods: to choose by. What the first leaves to a second target, or in a stratum, decides how much is taken; so
            there must be one target and no quotas where there are more than one.

    Raises:
        RunFailedError: no document is eligible.
    """
    config = run.config
    search = Thresholds(
        run.executor,
        config.workdir_url,
        [ShardWeights(result.receipt.name, result.tally.documents) for result in scores.results],
        scores.columns,
        config.seed,
        config.min_tokens,
        spreads,
    )
    choice = Choice(
        dict.fromkeys(dict.fromkeys([*methods, BASELINE]), ()),
        "tokens" if config.tokens is not None else "documents",
    )
    chooser = _Chooser(run, counts, scores, model, search, choice, methods[0])
    nearest = Pool(nearest=scores.columns) if config.match and len(model.selectors) > 1 else EVERYONE
    missing = [chooser.fill(target, nearest) for target in range(len(model.selectors))]
    if nearest is not EVERYONE:
        missing = [chooser.fill(target, EVERYONE, lacking) if lacking else 0 for target, lacking in enumerate(missing)]
    choice.unfilled = sum(missing)
    choice.held = {name: _in(choice.unit, *size) for name, size in chooser.everyone.items()}
    return choice


@dataclass
class _Chooser:
    run: Run
    counts: Counts
    scores: Scores
    model: FittedModel
    search: Thresholds
    choice: Choice
    method: str
    sizes: list[int] = field(default_factory=list)
    """What each target should take, in the choice's unit; settled when the first asks."""
    everyone: Strata = field(default_factory=dict)
    """All eligible documents by stratum, where there are quotas."""
    strata: list[str] = field(default_factory=list)
    shares: list[list[float]] = field(default_factory=list)
    """By target, of each of `strata`."""
    lacking: list[list[int]] = field(default_factory=list)
    """By target, in the choice's unit: what is left of its quota of each of `strata`."""

    def fill(self, target: int, pool: Pool, size: int | None = None) -> int:
        """Let a target take its size, or a rest of it, from a pool; what it lacks then."""
        if self.run.config.quotas is not None:
            return self._fill_strata(target, pool, size)
        name, wanted = self.model.selectors[target], 0

        def goal(eligible: Eligible) -> tuple[int, Unit]:
            nonlocal wanted
            wanted = self._size(target, eligible.documents, pool) if size is None else size
            return wanted, self.choice.unit

        if pool is not EVERYONE:
            self.choice.quantiles[name] = self.search.quantiles(target, self.choice.cuts[BASELINE])
        self.choice.cuts, quantiles, eligible = self.search.cut_target(target, self.choice.cuts, goal, pool)
        self.choice.quantiles.setdefault(name, quantiles)
        return max(0, wanted - _in(self.choice.unit, eligible.documents, eligible.tokens))

    def _fill_strata(self, target: int, pool: Pool, size: int | None) -> int:
        if not self.strata:
            self._settle_strata()
        if size is None:
            size = self.sizes[target]
            name = self.model.selectors[target]
            self.choice.quantiles[name] = self.search.quantiles(target, self.choice.cuts[BASELINE])
        free = self.search.strata(target, self.choice.cuts[self.method], pool)
        available = [_in(self.choice.unit, *free.get(stratum, (0, 0))) for stratum in self.strata]
        lacking = self.lacking[target]
        # No stratum stands in for another as long as it may have documents that are not nearest.
        amounts = (
            fill(lacking, self.shares[target], available) if pool is EVERYONE else list(map(min, lacking, available))
        )
        self.lacking[target] = [max(0, wanted - n) for wanted, n in zip(lacking, amounts, strict=True)]
        some = [(Pool(s, pool.nearest), n) for s, n in zip(self.strata, amounts, strict=True) if n]
        self.choice.cuts = self.search.cut_pools(
            target, self.choice.cuts, [pool for pool, _ in some], [n for _, n in some], self.choice.unit
        )
        return size - sum(amounts)

    def _settle_strata(self) -> None:
        """Divide the selection among targets and strata, so that the sums over both are right.

        Raises:
            RunFailedError: there is no eligible document, or none in a stratum in which a target has a share.
        """
        self.everyone = self.search.strata(0, ())
        self._settle(sum(documents for documents, _ in self.everyone.values()))
        by_target = [self._shares(name) for name in self.model.selectors]
        for shares in by_target:
            if not any(share and stratum in self.everyone for stratum, share in shares.items()):
                asked = _named(stratum for stratum, share in shares.items() if share)
                why = "; no target record has a value in that field" if self._is_unlabelled(shares) else ""
                raise RunFailedError(
                    f"quotas: no stratum that has a share ({asked or 'none has'}) holds an eligible document; by the "
                    f"field {self.run.config.strata!r} of raw they are in {_named(self.everyone)}{why}"
                )
        self.strata = sorted({stratum for shares in by_target for stratum in shares})
        self.shares = [[shares.get(stratum, 0.0) for stratum in self.strata] for shares in by_target]
        self.lacking = divide_table(self.sizes, self.shares)
        self.choice.quotas = dict(zip(self.strata, map(sum, zip(*self.lacking, strict=True)), strict=True))

    def _is_unlabelled(self, shares: Mapping[str, float]) -> bool:
        return self.run.config.quotas == "target" and set(shares) == {""}

    def _shares(self, name: str) -> Mapping[str, float]:
        """Share of each stratum in what a target takes."""
        quotas, unit = self.run.config.quotas, self.choice.unit
        if isinstance(quotas, dict):
            return {stratum: float(share) for stratum, share in quotas.items()}
        if quotas == "raw":
            return {stratum: float(_in(unit, *size)) for stratum, size in self.everyone.items()}
        shares: dict[str, float] = {}
        for target in self.counts.targets_of(name):
            for stratum, (documents, tokens) in self.counts.targets[target].tally.strata.items():
                shares[stratum] = shares.get(stratum, 0.0) + _in(unit, documents, tokens)
        return shares

    def _size(self, target: int, eligible: int, pool: Pool) -> int:
        """What a target should take in all."""
        if not self.sizes:
            self._settle(eligible if pool is EVERYONE else self.search.eligible(target).documents)
        return self.sizes[target]

    def _settle(self, eligible: int) -> None:
        self.sizes = divide(_total(self.run.config, self._some(eligible)), self.model.proportions)
        self.choice.wanted = dict(zip(self.model.selectors, self.sizes, strict=True))

    def _some(self, eligible: int) -> int:
        if eligible:
            return eligible
        documents, unscored = self.scores.tally.documents, sum(self.scores.tally.unscored.values())
        if not unscored:
            why = f"of {documents:,} none has min_tokens = {self.run.config.min_tokens} tokens; lower --min-tokens"
        else:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.scores.tally.unscored.items())
            why = (
                f"of {documents:,} {unscored:,} have no usable score ({reasons}), the others too few tokens; "
                f"look at the names given with --weights"
            )
        raise RunFailedError(f"no document is eligible: {why}")


def _named(strata: Iterable[str]) -> str:
    """The first of some strata in words."""
    names = sorted(strata)
    more = f" and {len(names) - N_NAMED:,} more" if len(names) > N_NAMED else ""
    return ", ".join(map(repr, names[:N_NAMED])) + more


def _in(unit: Unit, documents: int, tokens: int) -> int:
    return documents if unit == "documents" else tokens


def _total(settings: SampleSettings, eligible: int) -> int:
    if settings.count is not None:
        return settings.count
    if settings.tokens is not None:
        return settings.tokens
    if settings.fraction is not None:
        return max(1, round(settings.fraction * eligible))
    assert isinstance(settings.quotas, dict)
    return int(sum(settings.quotas.values()))
