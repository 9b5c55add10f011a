"""The held-out recovery of every method of a comparison, from the samples that recovery is measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.methods import METHODS
from dsir_core.model.importance import selectors_of
from dsir_core.model.smoothing import Smoothing
from dsir_core.resampling.method_recovery import measure_methods
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recovery import Sample
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.shards.sample_documents import StoredSample, load_sample
from dsir_core.stages.count import Counts
from dsir_core.stages.document_samples import sample_corpora
from dsir_core.stages.fit import Fit
from dsir_core.stages.plan import Plan
from dsir_core.stages.recover import SIZE
from dsir_core.stages.run import Run
from dsir_core.stages.work import StageWork


@dataclass(frozen=True)
class MethodTask:
    """One target for which the methods are measured."""

    workdir: str
    features: FeatureSettings
    min_tokens: int
    seed: int
    methods: tuple[str, ...]
    smoothing: Smoothing
    scaling: WeightScaling
    target: tuple[StoredSample, ...]
    target_counts: npt.NDArray[np.int64]
    raw: StoredSample
    raw_counts: npt.NDArray[np.int64]


def measure_target(task: MethodTask) -> list[Ranks] | None:
    """See `measure_methods`."""
    store = Store(task.workdir)
    target, raw = (load_sample(store, samples, SIZE.bound) for samples in (task.target, (task.raw,)))
    sample = Sample(target, task.target_counts, raw, task.raw_counts, task.features.ngrams, task.min_tokens)
    return measure_methods(sample, task.smoothing, task.scaling, task.methods, task.seed)


def method_recovery(
    run: Run, plan: Plan, counts: Counts, fitted: Fit, scalings: Sequence[WeightScaling]
) -> dict[str, list[Ranks]]:
    """By who selects: the ranks of hidden documents under each method, in the order of `METHODS`.

    Args:
        scalings: by who selects, in the order of the model.

    Returns:
        Nothing for those that cannot be measured, and for weights from elsewhere.
    """
    config = run.config
    if config.weights is not None:
        return {}
    work = StageWork(run, "recommend", leaves_out=True)
    samples = sample_corpora(work, plan, counts, config.read.unfiltered, SIZE, places=True)
    selectors = selectors_of(tuple(plan.targets), config.by_target)
    tasks = [
        MethodTask(
            config.workdir_url,
            config.features,
            config.min_tokens,
            config.seed,
            tuple(METHODS),
            fitted.smoothing[name],
            scaling,
            tuple(samples.targets[target] for target in counts.targets_of(name)),
            counts.counts_of(name),
            samples.raw,
            counts.raw.counts,
        )
        for name, scaling in zip(selectors, scalings, strict=True)
    ]
    found = list(zip(selectors, work.all(measure_target, tasks), strict=True))
    work.finish()
    return {name: ranks for name, ranks in found if ranks is not None}
