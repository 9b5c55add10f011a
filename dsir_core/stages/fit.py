"""Stage fit: counts -> the importance model, kept in the workdir.

Weights depend on the model, and it on the counts of raw: where raw has grown a little, the counts of an earlier run may
do (`refit`), and only the new shards are scored. The drift says how much that matters: the KL divergence in nats of
raw as it is from raw as the model knows it, which is what one n-gram's log ratio is wrong by on average.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import array_from, write_array
from dsir_core.checkpoints.kinds import MODEL, RAW_MODEL
from dsir_core.digests import digest
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.model.classifier import Classifier
from dsir_core.model.importance import FittedModel, distribution, fit_model, selectors_of
from dsir_core.model.metrics import kl_divergence
from dsir_core.model.smoothing import Smoothing
from dsir_core.report.advice import advise
from dsir_core.resampling.recovery import Candidate
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.shards.count import content_of
from dsir_core.stages.count import Counts
from dsir_core.stages.recover import Recovery, candidates_of, proportions_of
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork
from dsir_core.storage.retries import warn

MAX_DRIFT_NATS = 0.001
"""`refit: auto` fits anew above it."""


@dataclass(frozen=True)
class Fit:
    """Result of the stage."""

    model: FittedModel
    refitted: bool
    """Whether raw's model is of this run's counts."""
    drift_nats: float
    """Of raw now from raw as the model knows it; 0 for a model of this run."""
    smoothing: Mapping[str, Smoothing]
    """By who selects."""
    scaling: Mapping[str, WeightScaling]
    """By who selects: how its log weights are scaled for length."""
    raw_counts: npt.NDArray[np.int64]
    """int64[buckets] that raw's model is of."""
    is_new: bool
    """Whether they are to be remembered for later runs."""

    @property
    def used(self) -> dict[str, Candidate]:
        """By who selects: smoothing and length normalisation."""
        return {name: Candidate(smoothing, self.scaling[name].length) for name, smoothing in self.smoothing.items()}


@dataclass(frozen=True)
class _RawModel:
    counts: npt.NDArray[np.int64]
    refitted: bool
    drift_nats: float
    is_new: bool
    picked: Mapping[str, Candidate] = field(default_factory=dict)
    """By who selects, what the run that fitted it picked."""


def fit(run: Run, counts: Counts, recovery: Recovery, classifier: Classifier | None = None) -> Fit:
    """Fit the model and store it under its digest, where the shards will find it.

    Args:
        recovery: by which settings that are `auto` were picked.
        classifier: that documents are scored by, too.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    work = StageWork(run, "fit")
    found = fitted(run, counts, recovery)
    model = replace(found.model, classifier=classifier)
    key, content = raw_model_key(run), content_of(found.raw_counts)
    if found.is_new:
        _remember(run, key, content, found, _content_of_targets(counts))
    with run.store.checkpoint(MODEL.folder, model.digest, MODEL.suffix, {"names": list(model.selectors)}) as draft:
        draft.stream.write(model.to_bytes())
    run.manifest.need("fit", [MODEL.name(model.digest), RAW_MODEL.name(key), RAW_MODEL.name(content)])
    work.finish()
    return replace(found, model=model)


def fitted(run: Run, counts: Counts, recovery: Recovery) -> Fit:
    """Fit the model; nothing is written.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    config = run.config
    raw = _raw_model(run, counts)
    picked = _picked(run, counts, recovery, raw.picked)
    smoothing = {name: candidate.smoothing for name, candidate in picked.items()}
    model = fit_model(
        {name: found.counts for name, found in counts.targets.items()},
        raw.counts,
        smoothing=smoothing,
        separate=config.by_target,
        proportions=proportions_of(config, counts),
    )
    scaling = {
        name: WeightScaling(length=candidate.length, typical=_typical_length(run, counts, name))
        for name, candidate in picked.items()
    }
    return Fit(model, raw.refitted, raw.drift_nats, smoothing, scaling, raw.counts, raw.is_new)


def _typical_length(run: Run, counts: Counts, name: str) -> float:
    """Mean tokens of a document of those that a selector stands for; of a chunk, where documents are cut."""
    tallies = [counts.targets[target].tally for target in counts.targets_of(name)]
    mean = max(1.0, sum(tally.tokens for tally in tallies) / max(1, sum(tally.documents for tally in tallies)))
    return min(mean, float(run.config.chunk.words)) if run.config.chunk is not None else mean


def keeps_raw_model(run: Run, counts: Counts) -> bool:
    """Whether raw's model will be that of an earlier run."""
    return not _raw_model(run, counts).is_new


def raw_model_key(run: Run) -> str:
    """What raw's model is remembered by."""
    config = run.config
    return digest(
        {
            "tokenizer": TOKENIZER_VERSION,
            "features": config.features,
            "read": config.read,
            "raw": config.redacted().raw,
            "fit_ngrams": config.fit_ngrams,
        }
    )


def _picked(run: Run, counts: Counts, recovery: Recovery, kept: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Smoothing and length normalisation for each who selects.

    Args:
        kept: what an earlier run picked, where its model of raw is kept.
    """
    candidates = candidates_of(run.config)
    selectors = selectors_of(tuple(counts.targets), run.config.by_target)
    found = dict.fromkeys(selectors, candidates[0])
    if len(candidates) == 1:
        return found
    for name in selectors:
        if name not in recovery:
            run.note(
                f"held-out recovery cannot be measured for target {name!r}, so smoothing and length_normalise are not "
                f"tuned: {found[name].smoothing} and {found[name].length} are used"
            )
        else:
            better = recovery[name].candidate
            found[name] = kept[name] if kept.get(name) in candidates else better
            if found[name] != better:
                run.note(
                    f"smoothing {found[name].smoothing} and length_normalise {found[name].length} of target {name!r} "
                    f"are kept with the model of an earlier run; with refit 'always' they would be "
                    f"{better.smoothing} and {better.length}"
                )
    return found


def _raw_model(run: Run, counts: Counts) -> _RawModel:
    """Raw's counts of this run, or those that an earlier one has fitted on."""
    config, new = run.config, counts.raw.counts
    known, picked = (
        (None, {}) if config.refit == "always" else _known(run, raw_model_key(run), _content_of_targets(counts))
    )
    if known is not None and known.sum() and new.sum():
        drift = kl_divergence(distribution(new), distribution(known))
        if config.refit == "never" or drift <= MAX_DRIFT_NATS:
            if drift > MAX_DRIFT_NATS:
                run.note(advise("refit", drift=drift))
            return _RawModel(known, np.array_equal(known, new), drift, False, picked)
    return _RawModel(new, True, 0.0, True)


def _content_of_targets(counts: Counts) -> str:
    """Names the targets by what they are: settings are picked for them alone."""
    return digest({name: content_of(found.counts) for name, found in counts.targets.items()})


def _known(run: Run, key: str, targets: str) -> tuple[npt.NDArray[np.int64] | None, dict[str, Candidate]]:
    """Raw's counts that an earlier run has fitted on, and what it picked for whom, if it had the same targets."""
    name = f"{RAW_MODEL.name(key)}.current"
    try:
        current = json.loads(run.store.read(name))
        content = str(current["counts"])
        picked = {
            who: Candidate(Smoothing(**one["smoothing"]), one["length"]) for who, one in current["picked"].items()
        }
    except FileNotFoundError:
        return None, {}
    except (ValueError, KeyError, TypeError, AttributeError):
        warn(f"{run.store.redacted}/{name} is damaged: the model of raw is fitted anew")
        return None, {}
    found = run.store.load(RAW_MODEL.folder, content)
    if found is None:
        warn("the counts of raw that an earlier run was fitted on are gone or damaged: the model of raw is fitted anew")
        return None, {}
    return array_from(found[1]), picked if current["targets"] == targets else {}


def _remember(run: Run, key: str, content: str, found: Fit, targets: str) -> None:
    counts = found.raw_counts
    with run.store.checkpoint(RAW_MODEL.folder, content, RAW_MODEL.suffix, {"ngrams": int(counts.sum())}) as draft:
        write_array(draft, counts)
    picked = {name: {"smoothing": asdict(one.smoothing), "length": one.length} for name, one in found.used.items()}
    current = {"counts": content, "picked": picked, "targets": targets}
    run.store.write(f"{RAW_MODEL.name(key)}.current", json.dumps(current).encode())
