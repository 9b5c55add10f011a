"""Stage compare: what each method chooses of one scored corpus, side by side. Nothing is selected or written for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsir_core.checkpoints.store import Store
from dsir_core.config.described import did_you_mean
from dsir_core.config.methods import METHODS
from dsir_core.config.request import SelectConfig
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.model.importance import FittedModel, distribution
from dsir_core.model.metrics import kl_divergence, kl_reduction, mean_reduction
from dsir_core.report.comparison import FIGURES, PAGE, render_comparison
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recommending import (
    recommend_by_precision,
    recommend_by_recovery,
    recovery_by_method,
    recovery_figures,
)
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.thresholds import Cuts
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.compare import Compared, CompareTask, compare_shard, weights_key
from dsir_core.stages.allocation import choose
from dsir_core.stages.count import Counts
from dsir_core.stages.fit import Fit
from dsir_core.stages.plan import Plan
from dsir_core.stages.recommend import method_recovery
from dsir_core.stages.report import stage_figures, versions
from dsir_core.stages.resample import reading_weights, scalings_of
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork

Json = dict[str, Any]

N_VALUES = 5
"""Values of the field of strata that a message names."""


def check_comparison(run: Run, target_labels: Sequence[str]) -> None:
    """Refuse what can be seen to be wrong before any work.

    Args:
        target_labels: see `compare`.

    Raises:
        RequestError: there is a comparison at the output and `overwrite` is not set, or labels are named and no field.
    """
    if target_labels and run.config.strata is None:
        raise RequestError("--target-label: name the field of raw that the labels are in with --strata")
    output = Store(run.config.output)
    if output.exists(FIGURES) and not run.config.overwrite:
        raise RequestError(
            f"{output.redacted} holds a comparison: choose another --output, or replace it with --overwrite"
        )


def compare(run: Run, plan: Plan, counts: Counts, scores: Scores, fitted: Fit, target_labels: Sequence[str]) -> Json:
    """Choose by every method, and write `compare.html` and then `compare.json` to the output.

    Args:
        target_labels: values of the field of strata that are what the targets ask for.

    Returns:
        The content of compare.json.

    Raises:
        RequestError: none of `target_labels` is the label of an eligible document.
        RunFailedError: no document is eligible, or a file has changed.
        StageFailedError: shards failed for a reason that may pass.
    """
    model = fitted.model
    with reading_weights("compare"):
        scalings = scalings_of(run, scores, fitted)
    work = StageWork(run, "compare")
    work.announce(scores.shards)
    with reading_weights("compare"):
        cuts = _cuts(run, counts, scores, model, scalings)
    found = _compared(work, scores, model, cuts)
    labels = _labels(run, found, target_labels)  # before recovery, which takes longest on a small corpus
    work.finish()
    ranks = method_recovery(run, plan, counts, fitted, scalings)
    methods = {method: _method(i, counts, model, found, target_labels) for i, method in enumerate(METHODS)}
    recommendation = _recommend(ranks, model, found, methods)
    ends = stage_figures(run)
    figures = {
        "documents": {"raw": scores.tally.records, "eligible": found.eligible},
        "targets": {
            name: {
                "documents": target.tally.documents,
                "tokens": target.tally.tokens,
                "kl_raw": kl_divergence(distribution(target.counts), distribution(counts.raw.counts)),
            }
            for name, target in counts.targets.items()
        },
        "recommendation": recommendation,
        "methods": methods,
        "overlap": {
            method: {other: _share(found.shared[i, j], found.shared[i, i]) for j, other in enumerate(METHODS)}
            for i, method in enumerate(METHODS)
        },
        "labels": labels,
        "notes": list(run.notes),
        "stages": ends,
        "model_digest": model.digest,
        "workdir": run.store.redacted,
        "config": run.config.redacted().model_dump(mode="json", exclude={"method"}),
        "versions": versions(),
    }
    output = Store(run.config.output)
    output.remove(FIGURES)
    output.write(PAGE, render_comparison(figures).encode())
    output.write(FIGURES, json.dumps(figures, indent=1, ensure_ascii=False).encode())
    run.manifest.end(ends)
    return figures


def _recommend(
    ranks: Mapping[str, Sequence[Ranks]], model: FittedModel, found: Compared, methods: Mapping[str, Json]
) -> Json:
    """Which method to use; adds to each method's figures what it recovers."""
    sizes = found.documents[list(METHODS).index(SelectConfig.model_fields["method"].default)]
    shares = {name: float(n) / max(1, found.eligible) for name, n in zip(model.selectors, sizes.tolist(), strict=True)}
    recovered = recovery_by_method(ranks, shares)
    for method, figures in methods.items():
        figures["recovery"] = recovery_figures(recovered[method]) if method in recovered else None
    precision = {name: figures["precision"] for name, figures in methods.items() if figures["precision"] is not None}
    if precision:
        return recommend_by_precision(precision, {name: methods[name]["documents"] for name in precision})
    is_bound = any(shares[name] < each[0].resolution for name, each in ranks.items())
    return recommend_by_recovery(recovered, is_bound=is_bound)


def _cuts(
    run: Run, counts: Counts, scores: Scores, model: FittedModel, spreads: list[WeightScaling]
) -> Mapping[str, Cuts]:
    """The thresholds of each method; all in the same passes over the weights where no target waits for another."""
    together = len(model.selectors) == 1 and run.config.quotas is None
    groups: list[Sequence[str]] = [list(METHODS)] if together else [[method] for method in METHODS]
    cuts: dict[str, Cuts] = {}
    for methods in groups:
        chosen = choose(run, counts, scores, model, spreads, methods).cuts
        cuts |= {method: chosen[method] for method in methods}
    return cuts


def _compared(work: StageWork, scores: Scores, model: FittedModel, cuts: Mapping[str, Cuts]) -> Compared:
    """What each method chooses of each shard, added up.

    Raises:
        RunFailedError: a file is damaged now, or the weights do not hold the documents that were scored.
    """
    config = work.run.config

    def task(index: int) -> CompareTask:
        return CompareTask(
            config.workdir_url,
            scores.shards[index],
            config.read.unconditional,
            config.features,
            scores.results[index].receipt,
            model.selectors,
            tuple(tuple(cut.at(index) for cut in cuts[method]) for method in METHODS),
            config.min_tokens,
            config.chunk,
        )

    total = Compared.nothing(len(METHODS), len(model.selectors), config.buckets)
    early: dict[int, Compared] = {}
    n_merged = 0
    for index, result in work.map(compare_shard, LazySequence(len(scores.results), task), scores.shards):
        total.counts += result.compared.counts
        result.compared.counts = np.zeros((), np.int64)
        early[index] = result.compared
        while n_merged in early:  # in order: sums of floats depend on it
            total.merge(early.pop(n_merged))
            n_merged += 1
    if work.damaged:
        raise RunFailedError(f"compare: {next(iter(work.damaged.values()))}; the file changed during the run")
    work.judge()
    if total.seen != scores.tally.documents:
        raise RunFailedError(
            f"compare: {scores.tally.documents:,} documents were scored, the weights hold {total.seen:,}"
        )
    return total


def _method(index: int, counts: Counts, model: FittedModel, found: Compared, target_labels: Sequence[str]) -> Json:
    """Figures of one method."""
    method = list(METHODS)[index]
    sizes = {
        name: found.weights[key].effective_sample_size
        for i, name in enumerate(model.selectors)
        if (key := weights_key(method, i)) in found.weights
    }
    targets = {name: _target(index, name, counts, model, found) for name in counts.targets}
    n = int(found.documents[index].sum())
    labels = {label: int(by_method[1 + index]) for label, by_method in found.labels.items()}
    return {
        "documents": n,
        "tokens": int(found.tokens[index].sum()),
        "effective_sample_size": min(sizes.values(), default=None),
        "effective_sample_sizes": sizes,
        "kl_reduction": mean_reduction(target["kl_reduction"] for target in targets.values()),
        "targets": targets,
        "labels": {label: count for label, count in labels.items() if count},
        "precision": _share(sum(labels.get(label, 0) for label in target_labels), n) if target_labels else None,
    }


def _target(index: int, name: str, counts: Counts, model: FittedModel, found: Compared) -> Json:
    # With separate targets, what a target asked for is what it chose itself.
    mine = [model.selectors.index(name)] if name in model.selectors else list(range(len(model.selectors)))
    chosen = found.counts[index, mine].sum(axis=0)
    reduction = kl_reduction(counts.targets[name].counts, counts.raw.counts, chosen)
    return {
        "selected": int(found.documents[index, mine].sum()),
        "kl_selected": reduction["kl_selected"],
        "kl_reduction": reduction["kl_reduction"],
    }


def _labels(run: Run, found: Compared, target_labels: Sequence[str]) -> Json | None:
    """Eligible documents by label; None where no field is named."""
    field = run.config.strata
    if field is None:
        return None
    eligible = {label: int(counts[0]) for label, counts in sorted(found.labels.items()) if counts[0]}
    for label in target_labels:
        if label in eligible:
            continue
        says = f"target_label: no eligible document has {label!r} as its {field}{did_you_mean(label, eligible)}"
        says += f" ({_values(eligible)})"
        if not set(target_labels) & eligible.keys():
            raise RequestError(says)
        run.note(says)
    return {"field": field, "target": list(target_labels), "eligible": eligible}


def _values(eligible: Mapping[str, int]) -> str:
    """The most frequent labels, and how many more there are."""
    if not eligible:
        return "no document is eligible"
    first = sorted(eligible, key=lambda label: (-eligible[label], label))[:N_VALUES]
    more = f" and {len(eligible) - len(first):,} more" if len(eligible) > len(first) else ""
    return f"there are {', '.join(map(repr, first))}{more}"


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
