"""Stage classify: a linear classifier of target against raw, for heuristic classification, from bounded samples."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dsir_core.checkpoints.cached import load_or_make
from dsir_core.checkpoints.kinds import CLASSIFIER
from dsir_core.checkpoints.receipts import Draft
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.errors import RequestError
from dsir_core.model.classifier import Classifier, fit_classifier
from dsir_core.model.compact_sample import Bound
from dsir_core.model.importance import selectors_of
from dsir_core.shards.count import content_of
from dsir_core.shards.sample_documents import StoredSample, load_sample
from dsir_core.stages.count import Counts
from dsir_core.stages.document_samples import SampleSize, sample_corpora
from dsir_core.stages.fit import keeps_raw_model, raw_model_key
from dsir_core.stages.plan import Plan
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork
from dsir_core.storage.retries import warn

BOUND = Bound(10_000, 5_000_000)
"""Of the documents of raw, and of those of each who selects: 80 MB together while they are fitted on."""

TIMES = 8
"""As many documents as are wanted stand in the blocks that are read: neighbours in a file are alike."""


def classify(run: Run, plan: Plan, counts: Counts) -> Classifier:
    """Gather documents of raw and of the targets, and fit a classifier for each who selects.

    Where raw's model is kept (`refit`), so is the classifier that was fitted with it: weights of an earlier run go by
    both.

    Raises:
        RequestError: no document of a target or of raw holds an n-gram.
        RunFailedError: damaged files. StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "classify")
    config = run.config
    pointer = _pointer(run, counts)
    kept = _kept(run, pointer) if keeps_raw_model(run, counts) else None
    if kept is not None:
        work.announce([])
        work.finish()
        return kept
    samples = sample_corpora(work, plan, counts, config.read.unconditional, SampleSize(BOUND, TIMES))
    fits = []
    for name in selectors_of(tuple(plan.targets), config.by_target):
        mine = tuple(samples.targets[target] for target in counts.targets_of(name))
        fits.append(FitTask(config.workdir_url, name, config.features, mine, samples.raw))
    keys = [task.key for task in fits]
    run.manifest.need("classify", [CLASSIFIER.name(key) for key in (pointer, *keys)])
    found = Classifier.joined(work.all(fit_from_samples, fits))
    run.store.write(f"{CLASSIFIER.name(pointer)}.current", json.dumps({"classifiers": keys}).encode())
    work.finish()
    return found


def _pointer(run: Run, counts: Counts) -> str:
    """What the classifier of a model of raw is remembered by."""
    return CLASSIFIER.key(
        {
            "raw": raw_model_key(run),
            "targets": {name: content_of(found.counts) for name, found in counts.targets.items()},
            "by_target": run.config.by_target,
        }
    )


def _kept(run: Run, pointer: str) -> Classifier | None:
    """The classifier that was fitted with raw's model; None where there is none."""
    name = f"{CLASSIFIER.name(pointer)}.current"
    try:
        keys = [str(key) for key in json.loads(run.store.read(name))["classifiers"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        warn(f"{run.store.redacted}/{name} is damaged: the classifier is fitted anew")
        return None
    found = [run.store.load(CLASSIFIER.folder, key) for key in keys]
    loaded = [Classifier.from_bytes(one[1]) for one in found if one is not None]
    if not keys or len(loaded) < len(keys):
        warn("the classifier that an earlier run has fitted is gone or damaged: the classifier is fitted anew")
        return None
    run.manifest.need("classify", [CLASSIFIER.name(key) for key in (pointer, *keys)])
    return Classifier.joined(loaded)


@dataclass(frozen=True)
class FitTask:
    """One classifier to be fitted."""

    workdir: str
    name: str
    """Who selects."""
    features: FeatureSettings
    target: tuple[StoredSample, ...]
    """Documents of each of the corpora that it is made of."""
    raw: StoredSample

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return CLASSIFIER.key(
            {
                "features": self.features,
                "target": [sample.signature for sample in self.target],
                "raw": self.raw.signature,
            }
        )


def fit_from_samples(task: FitTask) -> Classifier:
    """Fit a classifier into the store, or take the one that is there.

    Raises:
        RequestError: there is nothing to fit on.
    """
    store = Store(task.workdir)

    def make(draft: Draft) -> Classifier:
        found, draft.summary["target"], draft.summary["raw"] = _fit(store, task)
        draft.stream.write(found.to_bytes())
        return found

    return load_or_make(store, CLASSIFIER, task.key, lambda _, data: Classifier.from_bytes(data), make).value


def _fit(store: Store, task: FitTask) -> tuple[Classifier, int, int]:
    """A classifier, and how many documents of the target and of raw it is fitted on."""
    target, raw = (load_sample(store, samples, BOUND) for samples in (task.target, (task.raw,)))
    if not len(target) or not len(raw):
        what = f"target {task.name!r}" if not len(target) else "the raw corpus"
        raise RequestError(f"{what} holds no n-gram: it has no documents, or none with a word in it")
    return fit_classifier(target, raw, task.features.buckets), len(target), len(raw)
