"""Stage report: what was done and whether it worked, as report.json and report.html; report.json comes last."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from dsir_core.checkpoints.store import Store
from dsir_core.errors import RunFailedError
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.model.importance import FittedModel
from dsir_core.model.metrics import kl_reduction, mean_reduction
from dsir_core.report.groups import Group, by_file, by_length, largest
from dsir_core.report.html import render
from dsir_core.stages.count import Counts
from dsir_core.stages.fit import Fit
from dsir_core.stages.output_dir import REPORT_PAGE, commit_output
from dsir_core.stages.plan import Plan
from dsir_core.stages.recover import Recovery
from dsir_core.stages.recovery_figures import recovery_figures
from dsir_core.stages.report_lookups import Stages, examples, histograms, moved
from dsir_core.stages.resample import ResampleResult
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork, describe
from dsir_core.stages.write import Written

Json = dict[str, Any]
LIBRARIES = ("numpy", "numba", "pyarrow", "dask", "prefect")
N_SHARDS = 10

MOSTLY_TOP = 0.9
"""Share of the selection that plain top-k selects as well, below which recovery says too much of it."""


def report(
    run: Run,
    plan: Plan,
    counts: Counts,
    recovery: Recovery,
    fitted: Fit,
    scores: Scores,
    sample: ResampleResult,
    written: Written,
) -> Json:
    """Write both reports to the output and return the figures.

    Raises:
        RunFailedError: the account does not close: raw is not selected + rejected + ineligible + bad.
        StageFailedError: documents cannot be looked up for a reason that may pass.
    """
    work = StageWork(run, "report")
    work.announce([])
    _note_spread(run, recovery, sample)
    stages = Stages(plan, counts, scores, sample, written, fitted.model.digest)
    model = fitted.model
    documents = _documents(run, scores, sample, written)
    targets = _targets(counts, model, sample, written)
    figures: Json = {
        "documents": documents,
        "tokens": {"raw": scores.tally.tokens, "selected": sum(sample.account.selected_tokens.values())},
        "targets": targets,
        "recovery": recovery_figures(recovery, _shares(sample), fitted.used),
        "kl_reduction": mean_reduction(target["kl_reduction"] for target in targets.values()),
        "ineligible": {"reasons": _ineligible(run, scores, documents["ineligible"])},
        "weights": _weights(sample, scores),
        "histograms": histograms(run.config.method, stages),
        "copies": asdict(written.copies),
        "strata": _strata(sample),
        "rates": _rates(sample),
        "moved": moved(work, stages),
        "bad": {"reasons": scores.tally.reasons, "first": [asdict(bad) for bad in scores.tally.first_bad]},
        "damaged": dict(scores.damaged),
        "fit": {"rate": counts.rate, "ngrams": int(counts.raw.counts.sum()), **_fit(fitted)},
        "selection_digest": written.selected.selection_digest,
        "model_digest": model.digest,
        "parts": [asdict(part) for part in written.parts],
        "examples": examples(work, stages),
        "notes": list(run.notes),
        "storage": {"retries": run.retries},
        "corpus": {"raw": _corpus(plan.raw), **{f"target {n}": _corpus(t) for n, t in plan.targets.items()}},
        "workdir": run.store.redacted,
        "config": run.config.redacted().model_dump(mode="json"),
        "versions": versions(),
    }
    work.finish()
    ends = stage_figures(run)
    figures["stages"] = ends
    figures["time"] = _time(plan, ends)
    Store(written.place).write(REPORT_PAGE, render(figures).encode())
    content = json.dumps(figures, indent=1, ensure_ascii=False).encode()
    commit_output(run, written.place, written.parts, content)
    run.manifest.end(ends)
    return figures


def _note_spread(run: Run, recovery: Recovery, sample: ResampleResult) -> None:
    """Say where the selection is so far from the top of the ranking that recovery is not its own."""
    selected = sample.account.n_selected
    overlap = sample.account.overlap / selected if selected else 1.0
    if recovery and overlap < MOSTLY_TOP:
        run.note(
            f"held-out recovery is that of the top of the ranking, and only {overlap:.0%} of the selected documents "
            f"belong to it: the selection recovers less"
        )


def _fit(fitted: Fit) -> Json:
    return {
        "refitted": fitted.refitted,
        "drift_nats": fitted.drift_nats,
        "smoothing": {name: str(smoothing) for name, smoothing in fitted.smoothing.items()},
        "length_normalise": {name: scaling.length for name, scaling in fitted.scaling.items()},
        "typical_tokens": {name: scaling.typical for name, scaling in fitted.scaling.items()},
    }


def _shares(sample: ResampleResult) -> dict[str, float]:
    """Of the eligible documents, the share that each who selects has selected."""
    eligible = max(1, sample.account.eligible)
    return {name: sample.account.selected.get(name, 0) / eligible for name in sample.selectors}


def _documents(run: Run, scores: Scores, sample: ResampleResult, written: Written) -> Json:
    raw, bad, excluded = scores.tally.records, scores.tally.bad, scores.tally.excluded
    eligible, selected = sample.account.eligible, sample.account.n_selected
    ineligible = sample.account.documents - eligible - scores.copies - scores.in_target
    rejected = eligible - selected
    for shard, score, mark in zip(scores.shards, scores.results, sample.marks, strict=True):
        unread = score.tally.bad + score.tally.excluded
        if score.tally.records != mark.documents + unread or mark.n_selected > mark.eligible:
            raise RunFailedError(f"{describe(shard)}: {score.tally.records:,} records read, but not all accounted for")
    accounted = selected + rejected + ineligible + scores.copies + scores.in_target + excluded + bad
    if ineligible < 0:
        raise RunFailedError(f"{scores.copies + scores.in_target:,} copies are marked, of which some are not eligible")
    if raw != accounted:
        raise RunFailedError(f"{raw:,} records read, but {accounted:,} accounted for")
    return {
        "raw": raw,
        "readable": raw - bad,
        "eligible": eligible,
        "selected": selected,
        "rejected": rejected,
        "ineligible": ineligible,
        "copies": scores.copies,
        "target_copies": scores.in_target,
        "excluded": excluded,
        "bad": bad,
        **_parents(run, scores, written),
    }


def _parents(run: Run, scores: Scores, written: Written) -> Json:
    """When documents are chunks: the whole ones that they were cut from, and the records written."""
    if run.config.chunk is None:
        return {}
    return {"whole": scores.tally.parents, "written": sum(part.documents for part in written.parts)}


def _ineligible(run: Run, scores: Scores, n: int) -> dict[str, int]:
    """Documents by the reason for which they are not eligible; those that have two count by the first."""
    unscored = {f"no usable score: {reason}": found for reason, found in scores.tally.unscored.items()}
    return {**unscored, f"under {run.config.min_tokens:,} tokens": n - sum(unscored.values())}


def _rates(sample: ResampleResult) -> Json:
    """Selection by source file, by length and, where there are any, by stratum."""
    rates = {"files": by_file(sample.overview.files), "lengths": by_length(sample.overview.lengths)}
    if sample.account.strata:
        strata = (Group(name, *counts[:3]) for name, counts in sample.account.strata.items())
        rates["strata"] = largest(strata)
    return rates


def _targets(counts: Counts, model: FittedModel, sample: ResampleResult, written: Written) -> Json:
    targets: Json = {}
    for name, found in counts.targets.items():
        # With separate targets, what a target asked for is what it chose itself.
        chosen = written.counts[model.selectors.index(name)] if name in model.selectors else written.counts.sum(axis=0)
        targets[name] = {
            "documents": found.tally.documents,
            "tokens": found.tally.tokens,
            "selected": sample.account.selected.get(name, sample.account.n_selected),
            **kl_reduction(found.counts, counts.raw.counts, chosen),
        }
    return targets


def _weights(sample: ResampleResult, scores: Scores) -> Json:
    sizes = {
        name: sample.account.weights[column].effective_sample_size
        for name, column in zip(sample.selectors, scores.columns, strict=True)
        if column in sample.account.weights
    }
    selected = sample.account.n_selected
    return {
        "effective_sample_size": min(sizes.values(), default=0.0),
        "effective_sample_sizes": sizes,
        "temperatures": dict(sample.temperatures),
        "unscored": {
            "reasons": scores.tally.unscored,
            "first": [asdict(record) for record in scores.tally.first_unscored],
            "duplicate_keys": scores.tally.duplicate_keys,
        },
        "top_k_overlap": sample.account.overlap / selected if selected else 0.0,
        "quantiles": dict(sample.quantiles),
    }


def _strata(sample: ResampleResult) -> Json:
    found = {}
    for name in sorted({*sample.account.strata, *sample.quotas}):
        documents, eligible, selected, tokens = sample.account.strata.get(name, [0, 0, 0, 0])
        found[name] = {"documents": documents, "eligible": eligible, "selected": selected, "tokens_selected": tokens}
        if sample.quotas:
            found[name]["quota"] = sample.quotas.get(name, 0)
    return found


def _corpus(planned: Any) -> Json:
    return {
        "root": planned.corpus.root,
        "files": len(planned.corpus.files),
        "bytes": planned.n_bytes,
        "shards": len(planned.shards),
        "ignored": list(planned.corpus.ignored)[:N_SHARDS],
    }


def stage_figures(run: Run) -> Json:
    """Seconds, bytes read, shards, how many of them were reused, retries and slowest shards, by finished stage."""
    return {name: _stage(ends) for name, ends in run.stages.items()}


def _stage(ends: Any) -> Json:
    return {
        "seconds": ends.seconds,
        "bytes": ends.n_bytes,
        "shards": ends.shards,
        "reused": ends.reused,
        "retries": ends.retries,
        "slowest": [{"shard": one.shard, "seconds": one.seconds, "bytes": one.n_bytes} for one in ends.slowest],
    }


def _time(plan: Plan, stages: Json) -> Json:
    """Of all stages, and raw's stored bytes by it: what the user waits for."""
    seconds = sum(stage["seconds"] for stage in stages.values())
    return {
        "seconds": seconds,
        "bytes": plan.raw.n_bytes,
        "bytes_per_second": plan.raw.n_bytes / max(seconds, 1e-9),
        "ended": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def versions() -> Json:
    """Versions of what the result was made with."""
    found: Json = {"tokenizer": TOKENIZER_VERSION, "python": platform.python_version()}
    for name in ("dsir-pipeline", *LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
