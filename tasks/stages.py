"""The stages of a run as Prefect tasks: one task run a stage, entered again when a failure may pass.

A stage that is entered again finds the receipts of the shards that are done and does only the rest. Prefect's own
caching and result storage are not used: the checkpoints in the workdir are what a run resumes from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

import dsir_core.stages.classify as classify_stage
import dsir_core.stages.compare as compare_stage
import dsir_core.stages.count as count_stage
import dsir_core.stages.fit as fit_stage
import dsir_core.stages.join as join_stage
import dsir_core.stages.mark as mark_stage
import dsir_core.stages.plan as plan_stage
import dsir_core.stages.recover as recover_stage
import dsir_core.stages.report as report_stage
import dsir_core.stages.resample as resample_stage
import dsir_core.stages.score as score_stage
import dsir_core.stages.write as write_stage
from dsir_core.errors import DsirError
from dsir_core.model.classifier import Classifier
from dsir_core.model.importance import FittedModel
from dsir_core.pipeline import with_storage
from dsir_core.stages.count import Counts
from dsir_core.stages.fit import Fit
from dsir_core.stages.join import Joined
from dsir_core.stages.plan import Plan
from dsir_core.stages.recover import Recovery
from dsir_core.stages.resample import ResampleResult
from dsir_core.stages.run import Run, StageFailedError
from dsir_core.stages.score import Scores
from dsir_core.stages.write import Written

Value = TypeVar("Value")

RETRIES = 2
BACKOFF_SECONDS = 2


class Handed(Generic[Value]):
    """A value on its way from task to task.

    Prefect searches parameters and results for those of other task runs, and would walk through every shard of a plan;
    it does not look into this.
    """

    def __init__(self, value: Value) -> None:
        self.value = value
        self.inputs: frozenset[Handed[Any]] = frozenset()
        """Results of other tasks that this one was made from, those behind them included."""

    def holds(self, value: object) -> bool:
        """Whether it is this value, or a part of it: of what `fit` returns, `score` takes only the model."""
        return value is not None and (
            value is self.value or any(value is part for part in getattr(self.value, "__dict__", {}).values())
        )


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a stage failed for a reason that entering it again may cure: storage, or lost workers."""
    try:
        state.result()
    except StageFailedError:
        return True
    except DsirError:
        return False
    except Exception as error:
        return isinstance(error, OSError)
    return False


def stage_task(stage: Callable[..., Value]) -> Task[..., Handed[Value]]:
    """Make a stage a task that has its name, takes its arguments as `Handed`, and reaches storage as its run says.

    It has no tags: for each, Prefect asks the server before the task begins whether it limits them, and waits for two
    seconds where the server is busy. Tags are for flow runs.
    """
    inside = with_storage(stage)

    @functools.wraps(stage)
    def call(*arguments: Handed[Any]) -> Handed[Value]:
        return Handed(inside(*(argument.value for argument in arguments)))

    return task(
        name=stage.__name__,
        task_run_name=stage.__name__,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(BACKOFF_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(call)


@stage_task
def plan(run: Run) -> Plan:
    """List raw and the targets, and cut them into shards."""
    return plan_stage.plan(run)


@stage_task
def count(run: Run, plan: Plan) -> Counts:
    """Count the n-grams of raw and of each target."""
    return count_stage.count(run, plan)


@stage_task
def classify(run: Run, plan: Plan, counts: Counts) -> Classifier:
    """Fit a classifier for each target that selects, on documents of raw and of the targets."""
    return classify_stage.classify(run, plan, counts)


@stage_task
def recover(run: Run, plan: Plan, counts: Counts) -> Recovery:
    """Measure held-out recovery, and pick the settings that are `auto` by it."""
    return recover_stage.recover(run, plan, counts)


@stage_task
def fit(run: Run, counts: Counts, recovery: Recovery, classifier: Classifier | None) -> Fit:
    """Fit the importance model."""
    return fit_stage.fit(run, counts, recovery, classifier)


@stage_task
def join(run: Run, plan: Plan, counts: Counts) -> Joined:
    """Look up the scores of raw documents in the table that the request names."""
    return join_stage.join(run, plan, counts)


@stage_task
def score(run: Run, plan: Plan, counts: Counts, model: FittedModel, joined: Joined | None) -> Scores:
    """Compute the log weight of each raw document."""
    return score_stage.score(run, plan, counts, model, joined)


@stage_task
def mark(run: Run, plan: Plan, counts: Counts, scores: Scores) -> Scores:
    """Mark the documents that cannot be selected since others have the same text."""
    return mark_stage.mark(run, plan, counts, scores)


@stage_task
def resample(run: Run, counts: Counts, scores: Scores, fitted: Fit) -> ResampleResult:
    """Choose the documents: find the thresholds, and mark what lies above."""
    return resample_stage.resample(run, counts, scores, fitted)


@stage_task
def write(run: Run, plan: Plan, counts: Counts, scores: Scores, sample: ResampleResult) -> Written:
    """Write the selected documents to the output."""
    return write_stage.write(run, plan, counts, scores, sample)


@stage_task
def report(
    run: Run,
    plan: Plan,
    counts: Counts,
    recovery: Recovery,
    fitted: Fit,
    scores: Scores,
    sample: ResampleResult,
    written: Written,
) -> dict[str, Any]:
    """Write report.json and report.html to the output."""
    return report_stage.report(run, plan, counts, recovery, fitted, scores, sample, written)


@stage_task
def compare(
    run: Run, plan: Plan, counts: Counts, scores: Scores, fitted: Fit, target_labels: Sequence[str]
) -> dict[str, Any]:
    """Choose by every method, and write compare.json and compare.html to the output."""
    return compare_stage.compare(run, plan, counts, scores, fitted, target_labels)


TASKS: dict[str, Task[..., Handed[Any]]] = {
    each.name: each
    for each in (plan, count, classify, recover, fit, join, score, mark, resample, write, report, compare)
}


class StageTasks:
    """Calls the stages of one run as the tasks above; an implementation of `pipeline.CallStage`.

    A task waits for those whose results it takes, so that Prefect draws the order of the data. Of two that lie behind
    one another it names the nearer.
    """

    def __init__(self) -> None:
        self._results: list[Handed[Any]] = []

    def __call__(self, stage: Callable[..., Value], run: Run, *inputs: Any) -> Value:
        """Run the task of a stage."""
        needed = {result for value in inputs if (result := self._result_of(value)) is not None}
        behind = frozenset[Handed[Any]]().union(*(result.inputs for result in needed))
        found = TASKS[stage.__name__](Handed(run), *map(Handed, inputs), wait_for=list(needed - behind))
        found.inputs = behind | needed
        self._results.append(found)
        value: Value = found.value
        return value

    def _result_of(self, value: object) -> Handed[Any] | None:
        """The first result that is or holds a value."""
        return next((result for result in self._results if result.holds(value)), None)
