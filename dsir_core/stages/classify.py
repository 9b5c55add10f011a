"""Stage classify: a linear classifier of target against raw, for heuristic classification, from bounded samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsir_core.checkpoints.cached import load_or_make
from dsir_core.checkpoints.kinds import CLASSIFIER
from dsir_core.checkpoints.store import Draft, Receipt, Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.types import SourceFile
from dsir_core.digests import hash64
from dsir_core.errors import RequestError
from dsir_core.model.classifier import Classifier, fit_classifier
from dsir_core.model.compact_sample import BottomKSample, Bound, SparseDocuments
from dsir_core.model.importance import selectors_of
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.count import BlockSample
from dsir_core.shards.sample_documents import GatherTask, gather_shard
from dsir_core.stages.count import CorpusCounts, Counts
from dsir_core.stages.fit import content_of, keeps_raw_model, raw_model_key
from dsir_core.stages.plan import Plan, PlannedCorpus
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork
from dsir_core.storage.retries import warn

BOUND = Bound(10_000, 5_000_000)
"""Of the documents of raw, and of those of each who selects: 80 MB together while they are fitted on."""

TIMES = 8
"""As many documents as are wanted stand in the blocks that are read: neighbours in a file are alike."""

MIN_FILES = 16


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
    raw = _gather(work, "raw", plan.raw, counts.raw, config.read, counts)
    targets = {
        name: _gather(work, f"target {name}", corpus, counts.targets[name], config.read.unconditional, counts)
        for name, corpus in plan.targets.items()
    }
    fits = []
    for name in selectors_of(tuple(targets), config.by_target):
        mine = [targets[name]] if name in targets else list(targets.values())
        fits.append(FitTask(config.workdir_url, name, config.features, tuple(r for t in mine for r in t), tuple(raw)))
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


def _gather(
    work: StageWork, name: str, corpus: PlannedCorpus, counted: CorpusCounts, read: ReadSettings, counts: Counts
) -> list[Receipt]:
    """Where a sample of a corpus lies, in order of shards."""
    config = work.run.config
    known = counted.tally.documents / (counts.rate if name == "raw" else 1.0)
    files, documents = _some_files(corpus, known)
    shards = [
        replace(shard, ranges=pieces)
        for shard in corpus.shards
        if shard not in counts.damaged and (pieces := tuple(p for p in shard.ranges if p.file.path in files))
    ]
    blocks = BlockSample(min(1.0, TIMES * BOUND.documents / max(documents, 1.0)))
    tasks = LazySequence(
        len(shards),
        lambda index: GatherTask(config.workdir_url, shards[index], read, config.features, name, blocks, BOUND),
    )
    work.announce(shards)
    receipts: dict[int, Receipt] = {}
    for index, result in work.map(gather_shard, tasks, shards):
        receipts[index] = result.receipt.compact()
    return [receipts[index] for index in sorted(receipts)]


def _some_files(corpus: PlannedCorpus, documents: float) -> tuple[set[str], float]:
    """Files to look into, of all sizes, and how many documents to expect there.

    A compressed file must be read from its beginning to wherever a block stands: of many files only some are opened,
    those that come first by a hash of their path.
    """
    by_hash = sorted(corpus.corpus.files, key=_order)
    per_byte = documents / max(1, corpus.n_bytes)
    n_bytes = 0
    taken: set[str] = set()
    for file in by_hash:
        if len(taken) >= MIN_FILES and n_bytes * per_byte >= TIMES * BOUND.documents:
            break
        taken.add(file.path)
        n_bytes += file.size
    return taken, n_bytes * per_byte


def _order(file: SourceFile) -> tuple[int, str]:
    return hash64("classifier", file.path), file.path


@dataclass(frozen=True)
class FitTask:
    """One classifier to be fitted."""

    workdir: str
    name: str
    """Who selects."""
    features: FeatureSettings
    target: tuple[Receipt, ...]
    """Where its documents lie."""
    raw: tuple[Receipt, ...]

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return CLASSIFIER.key(
            {
                "features": self.features,
                "target": [receipt.sha256 for receipt in self.target],
                "raw": [receipt.sha256 for receipt in self.raw],
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
    target, raw = (_sample(store, task.features, receipts) for receipts in (task.target, task.raw))
    if not len(target) or not len(raw):
        what = f"target {task.name!r}" if not len(target) else "the raw corpus"
        raise RequestError(f"{what} holds no n-gram: it has no documents, or none with a word in it")
    return fit_classifier(target, raw, task.features.buckets), len(target), len(raw)


def _sample(store: Store, features: FeatureSettings, receipts: Sequence[Receipt]) -> SparseDocuments:
    gathering = BottomKSample(BOUND, features.buckets)
    for receipt in receipts:
        part = SparseDocuments.from_bytes(store.read(receipt.name))
        if len(part):
            gathering.extend(part)
    found = gathering.found()
    return found.smallest(BOUND) if len(found) else found
