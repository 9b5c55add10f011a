"""Stage fit: counts -> the importance model, kept in the workdir.

Weights depend on the model, and it on the counts of raw: where raw has grown a little, the counts of an earlier run may
do (`refit`), and only the new shards are scored. The drift says how much that matters: the KL divergence in nats of
raw as it is from raw as the model knows it, which is what one n-gram's log ratio is wrong by on average.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import array_from, write_array
from dsir_core.checkpoints.kinds import MODEL, RAW_MODEL
from dsir_core.config.settings import RawPrior
from dsir_core.digests import digest
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.model.classifier import Classifier
from dsir_core.model.importance import FittedModel, distribution, fit_model, selectors_of
from dsir_core.model.metrics import kl_divergence
from dsir_core.model.smoothing import NONE, Picked, Smoothing, pick_smoothing
from dsir_core.stages.count import Counts
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
    smoothing: Mapping[str, Picked]
    """By who selects."""
    raw_counts: npt.NDArray[np.int64]
    """int64[buckets] that raw's model is of."""
    is_new: bool
    """Whether they are to be remembered for later runs."""


@dataclass(frozen=True)
class _RawModel:
    counts: npt.NDArray[np.int64]
    refitted: bool
    drift_nats: float
    is_new: bool


def fit(run: Run, counts: Counts, classifier: Classifier | None = None) -> Fit:
    """Fit the model and store it under its digest, where the shards will find it.

    Args:
        classifier: that documents are scored by, too.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    work = StageWork(run, "fit")
    found = fitted(run, counts)
    model = replace(found.model, classifier=classifier)
    key, content = raw_model_key(run), content_of(found.raw_counts)
    if found.is_new:
        _remember(run, key, content, found.raw_counts)
    with run.store.checkpoint(MODEL.folder, model.digest, MODEL.suffix, {"names": list(model.selectors)}) as draft:
        draft.stream.write(model.to_bytes())
    run.manifest.need("fit", [MODEL.name(model.digest), RAW_MODEL.name(key), RAW_MODEL.name(content)])
    work.finish()
    return replace(found, model=model)


def fitted(run: Run, counts: Counts) -> Fit:
    """Fit the model; nothing is written.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    config = run.config
    raw = _raw_model(run, counts)
    smoothing = _smoothing(run, counts, raw.counts)
    model = fit_model(
        {name: found.counts for name, found in counts.targets.items()},
        raw.counts,
        smoothing={name: picked.smoothing for name, picked in smoothing.items()},
        separate=config.by_target,
        proportions=config.proportions or (_own_proportions(run, counts) if config.match else None),
    )
    return Fit(model, raw.refitted, raw.drift_nats, smoothing, raw.counts, raw.is_new)


def _own_proportions(run: Run, counts: Counts) -> dict[str, float]:
    """The targets' own sizes, in what the selection is measured in."""
    by_tokens = run.config.tokens is not None
    return {name: float(t.tally.tokens if by_tokens else t.tally.documents) for name, t in counts.targets.items()}


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


def content_of(counts: npt.NDArray[np.int64]) -> str:
    """Names counts by what they are."""
    return hashlib.sha256(np.ascontiguousarray(counts, "<i8").tobytes()).hexdigest()


def _smoothing(run: Run, counts: Counts, raw_counts: npt.NDArray[np.int64]) -> dict[str, Picked]:
    """As asked, or for `auto` what makes held-out documents of each target likeliest."""
    config = run.config
    selectors = selectors_of(tuple(counts.targets), config.by_target)
    if config.smoothing != "auto":
        asked = config.smoothing
        given = Smoothing(raw_prior=asked.raw_prior) if isinstance(asked, RawPrior) else Smoothing(laplace=asked)
        return {name: Picked(given) for name in selectors}
    picked: dict[str, Picked] = {}
    for name in selectors:
        targets = [counts.targets[name]] if name in counts.targets else list(counts.targets.values())
        folds = np.sum([found.folds for found in targets if found.folds is not None], axis=0)
        if not folds.any() or not raw_counts.any():
            picked[name] = Picked(NONE)  # fitting refuses it, and says why
            continue
        found = pick_smoothing(folds, distribution(raw_counts))
        if found is None:
            found = Picked(Smoothing(raw_prior=float(config.buckets)))
            run.note(f"target {name!r} is too small to find its smoothing: {found.smoothing} is taken")
        picked[name] = found
    return picked


def _raw_model(run: Run, counts: Counts) -> _RawModel:
    """Raw's counts of this run, or those that an earlier one has fitted on."""
    config, new = run.config, counts.raw.counts
    known = None if config.refit == "always" else _known(run, raw_model_key(run))
    if known is not None and known.sum() and new.sum():
        drift = kl_divergence(distribution(new), distribution(known))
        if config.refit == "never" or drift <= MAX_DRIFT_NATS:
            if drift > MAX_DRIFT_NATS:
                run.note(
                    f"raw has drifted by {drift:.2g} nats from what its model was fitted on: "
                    f"the weights are no longer those of this corpus; fit anew with --refit always"
                )
            return _RawModel(known, np.array_equal(known, new), drift, False)
    return _RawModel(new, True, 0.0, True)


def _known(run: Run, key: str) -> npt.NDArray[np.int64] | None:
    name = f"{RAW_MODEL.name(key)}.current"
    try:
        content = str(json.loads(run.store.read(name))["counts"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        warn(f"{run.store.redacted}/{name} is damaged: the model of raw is fitted anew")
        return None
    found = run.store.load(RAW_MODEL.folder, content)
    if found is None:
        warn("the counts of raw that an earlier run was fitted on are gone or damaged: the model of raw is fitted anew")
        return None
    return array_from(found[1])


def _remember(run: Run, key: str, content: str, counts: npt.NDArray[np.int64]) -> None:
    with run.store.checkpoint(RAW_MODEL.folder, content, RAW_MODEL.suffix, {"ngrams": int(counts.sum())}) as draft:
        write_array(draft, counts)
    run.store.write(f"{RAW_MODEL.name(key)}.current", json.dumps({"counts": content}).encode())
