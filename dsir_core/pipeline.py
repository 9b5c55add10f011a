"""The order of the stages: what `dsir select` does, with or without Prefect."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from dsir_core.checkpoints.kinds import MODEL, SCORE
from dsir_core.config.methods import METHODS
from dsir_core.report.comparison import PAGE
from dsir_core.stages.classify import classify
from dsir_core.stages.compare import check_comparison, compare
from dsir_core.stages.count import Counts, count
from dsir_core.stages.fit import Fit, fit
from dsir_core.stages.join import join
from dsir_core.stages.mark import mark
from dsir_core.stages.output_dir import check_output
from dsir_core.stages.plan import Plan, plan
from dsir_core.stages.recover import Recovery, recover
from dsir_core.stages.report import report, stage_figures
from dsir_core.stages.resample import resample
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores, score
from dsir_core.stages.write import write

Result = TypeVar("Result")


class CallStage(Protocol):
    """How a stage is called: directly, or as a Prefect task."""

    def __call__(self, stage: Callable[..., Result], run: Run, *inputs: Any) -> Result:
        """Run `stage(run, *inputs)`."""
        ...


def call_directly(stage: Callable[..., Result], run: Run, *inputs: Any) -> Result:
    """Call a stage as the function it is."""
    return stage(run, *inputs)


def select(run: Run, call: CallStage = call_directly) -> dict[str, Any]:
    """Everything from listing the corpora to the report.

    Returns:
        The content of report.json.

    Raises:
        RequestError: the request is wrong, or a complete selection is at the output and `overwrite` is not set.
        RunFailedError: the run failed; what is complete is kept.
    """
    with_storage(check_output)(run)
    planned, counts, recovery, fitted, scores = _score(run, call)
    sample = call(with_storage(resample), run, counts, scores, fitted)
    written = call(with_storage(write), run, planned, counts, scores, sample)
    return call(with_storage(report), run, planned, counts, recovery, fitted, scores, sample, written)


def score_only(run: Run, call: CallStage = call_directly) -> tuple[str, Scores]:
    """The stages up to the weights.

    Returns:
        Name of a list in the workdir, JSON, of the weights files of this model in order of shards; and the scores.
    """
    _, _, _, fitted, scores = _score(run, call)
    model = fitted.model
    name = f"{SCORE.name(model.digest)}{SCORE.suffix}"
    listed = {
        "model": f"{MODEL.name(model.digest)}{MODEL.suffix}",
        "columns": list(scores.columns),
        "weights": [result.receipt.name for result in scores.results],
    }
    with_storage(end)(run, name, listed)
    return name, scores


def compare_methods(run: Run, target_labels: Sequence[str] = (), call: CallStage = call_directly) -> dict[str, Any]:
    """Score once, and compare what each method would choose; no documents are written.

    Args:
        target_labels: see `stages.compare.compare`.

    Returns:
        The content of compare.json.

    Raises:
        RequestError: the request is wrong, or there is a comparison at the output and `overwrite` is not set.
        RunFailedError: the run failed; what is complete is kept.
    """
    mine = Run(run.config.model_copy(update={"method": _most_needing()}), run.unwatched, run.observe, record=PAGE)
    mine.planned = run.planned
    with_storage(check_comparison)(mine, target_labels)
    planned, counts, _, fitted, scores = _score(mine, call, tune=True)
    return call(with_storage(compare), mine, planned, counts, scores, fitted, target_labels)


def _most_needing() -> str:
    """A method that needs of documents all that any method does."""
    return max(METHODS.values(), key=lambda method: method.uses_classifier).name


def begin(run: Run) -> None:
    """Record the run in the workdir."""
    run.manifest.begin()


def end(run: Run, name: str, listed: dict[str, Any]) -> None:
    """Write the list of weights to the workdir, and record that the run is complete."""
    run.store.write(name, json.dumps(listed, indent=1).encode())
    run.manifest.need("score", [name.removesuffix(SCORE.suffix)])
    run.manifest.end(stage_figures(run))


def with_storage(stage: Callable[..., Result]) -> Callable[..., Result]:
    """A stage that reaches storage as its run says."""

    @functools.wraps(stage)
    def inside(run: Run, *inputs: Any) -> Result:
        with run.with_storage(stage.__name__):
            return stage(run, *inputs)

    return inside


def _score(run: Run, call: CallStage, *, tune: bool = False) -> tuple[Plan, Counts, Recovery, Fit, Scores]:
    """The stages up to the weights.

    Args:
        tune: pick settings that are `auto`, even where the run's own method does not go by n-gram weights.
    """
    measures = run.config.measures_recovery or (tune and run.config.tunes)
    planned = call(with_storage(plan), run)
    with_storage(begin)(run)  # a request that names nothing to read leaves the record of the run before
    counts = call(with_storage(count), run, planned)
    classifier = call(with_storage(classify), run, planned, counts) if run.config.classifies else None
    recovery = call(with_storage(recover), run, planned, counts) if measures else {}
    fitted = call(with_storage(fit), run, counts, recovery, classifier)
    from_table = run.config.weights is not None and run.config.weights.table is not None
    joined = call(with_storage(join), run, planned, counts) if from_table else None
    scores = call(with_storage(score), run, planned, counts, fitted.model, joined)
    if run.config.marks_copies:
        scores = call(with_storage(mark), run, planned, counts, scores)
    return planned, counts, recovery, fitted, scores
