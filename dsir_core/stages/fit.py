"""Stage fit: counts -> the importance model, kept in the workdir."""

from __future__ import annotations

from dsir_core.model import FittedModel, fit_model
from dsir_core.stages.count import Counts
from dsir_core.stages.run import Run, StageWork


def fit(run: Run, counts: Counts) -> FittedModel:
    """Fit the model and store it under its digest, where the shards will find it.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    work = StageWork(run, "fit")
    config = run.config
    model = fit_model(
        {name: found.counts for name, found in counts.targets.items()},
        counts.raw.counts,
        smoothing=config.smoothing,
        separate=config.separate,
        proportions=config.proportions,
    )
    with run.store.checkpoint("model", model.digest, ".npz", {"names": list(model.names)}) as draft:
        draft.stream.write(model.to_bytes())
    work.finish()
    return model
