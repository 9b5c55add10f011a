"""The public functions, as `dsir_core` offers them: a request in, one run in this process, a result out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dsir_core import pipeline
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.config.storage import StorageSettings
from dsir_core.differences import Difference, difference
from dsir_core.errors import RequestError
from dsir_core.explained import ExplainedDocument
from dsir_core.finished import FinishedSelection
from dsir_core.forecasting.forecast import Forecast
from dsir_core.forecasting.forecast import forecast as make_forecast
from dsir_core.results import Comparison, Selection, Weights
from dsir_core.runtime.events import Observer, ignore
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.run import Run
from dsir_core.storage.connect import storage_settings


def select(
    config: SelectConfig | None = None,
    *,
    executor: Executor | None = None,
    observe: Observer = ignore,
    **settings: Any,
) -> Selection:
    """Select from raw the documents that are distributed like target, and write them with a report.

        selection = dsir_core.select(raw="corpus/*.jsonl.zst", target={"wiki": "wiki.jsonl"}, count=1000, output="out")

    What was finished by an earlier run with the same workdir is reused, also after an interruption.

    Args:
        config: a request; `settings` replace fields of it.
        executor: who does the work; default: this process, one shard after another.
        observe: is called with each event of the run.
        settings: fields of `SelectConfig`, which are the flags of `dsir select`: at least `raw`, `target`, `output`,
            and one of `count`, `tokens` and `fraction`. `workers` and `inline` are for the command alone.

    Raises:
        RequestError: the request is wrong, or a complete selection is at the output and `overwrite` is not set.
        RunFailedError: the run failed; finished work is kept in the workdir.
    """
    request = _request(config, settings)
    figures = pipeline.select(_run(request, executor, observe))
    return Selection(request.output, figures, request.storage)


def score(
    config: SelectConfig | None = None,
    *,
    executor: Executor | None = None,
    observe: Observer = ignore,
    **settings: Any,
) -> Weights:
    """Compute the log importance weight of every document of raw, into the workdir.

    Args:
        config: see `select`.
        executor: see `select`.
        observe: see `select`.
        settings: fields of `SelectConfig`: at least `raw`, `target` and `workdir`.

    Raises:
        RequestError: the request is wrong.
        RunFailedError: the run failed; finished work is kept in the workdir.
    """
    request = _request(config, settings, sized=False, output=False)
    listing, scores = pipeline.score_only(_run(request, executor, observe))
    return Weights(
        request.workdir_url,
        listing,
        scores.columns,
        tuple(result.receipt.name for result in scores.results),
        scores.tally.documents,
        PurePosixPath(listing).stem,
        request.storage,
    )


def compare(
    config: SelectConfig | None = None,
    *,
    target_labels: Sequence[str] = (),
    executor: Executor | None = None,
    observe: Observer = ignore,
    **settings: Any,
) -> Comparison:
    """Compare what each method would select, from weights that are computed once. No documents are written.

    Args:
        config: see `select`.
        executor: see `select`.
        observe: see `select`.
        target_labels: values of the field `strata` that are what the targets ask for: their share is the precision.
        settings: as for `select`; `method` is ignored.

    Raises:
        RequestError: the request is wrong, or a comparison is at the output and `overwrite` is not set.
        RunFailedError: the run failed; finished work is kept in the workdir.
    """
    request = _request(config, settings)
    figures = pipeline.compare_methods(_run(request, executor, observe), target_labels)
    return Comparison(request.output, figures)


def forecast(config: SelectConfig | None = None, **settings: Any) -> Forecast:
    """Predict sizes, time and memory of a run, check access, and warn of what looks wrong.

    Reads listings, a small sample of the text, and the workdir, from which it tells what can be reused. Writes nothing
    that stays.

    Args:
        config: a request; `settings` replace fields of it.
        settings: fields of `SelectConfig`: at least `raw` and `target`.

    Raises:
        RequestError: the request is wrong.
        RunFailedError: storage failed.
    """
    run = Run(_request(config, settings, sized=False, output=False, workdir=False), InlineExecutor())
    with run.with_storage():
        return make_forecast(run)


def explain(
    output: str | os.PathLike[str],
    file: str | None = None,
    position: int | None = None,
    *,
    where: str | None = None,
    text: str | None = None,
    workdir: str | os.PathLike[str] = "",
    storage: StorageSettings | None = None,
) -> ExplainedDocument:
    """The log weight of a document as a sum over its n-grams, by the model of a finished selection.

        dsir_core.explain("out", "books/a.jsonl", 17)
        dsir_core.explain("out", where='id == "d00017"')
        dsir_core.explain("out", text="any text")

    Args:
        output: where the selection is.
        file: of a document of the raw corpus, as in selected.parquet.
        position: of that document, as in selected.parquet.
        where: a condition on the fields of a record, as in `include`: the first document that meets it is explained.
            Raw is read as far as that document; `file` narrows it down.
        text: to explain instead.
        workdir: where the run's model is; default: where the report says.
        storage: how object storage is reached.

    Raises:
        RequestError: there is no finished selection, no such document, or no model any more.
    """
    given = [name for name, value in (("position", position), ("where", where), ("text", text)) if value is not None]
    if len(given) != 1 or (file is None and given == ["position"]) or (file is not None and given == ["text"]):
        raise RequestError("name a document by file and position, or by where, or give a text")
    with storage_settings(storage or StorageSettings()):
        finished = FinishedSelection(os.fspath(output), os.fspath(workdir))
        if where is not None:
            return finished.explain_where(where, file)
        if file is not None and position is not None:
            return finished.explain_document(file, position)
        return finished.explain_text(text or "")


def diff(
    output_a: str | os.PathLike[str],
    output_b: str | os.PathLike[str],
    *,
    key: str | None = None,
    storage: StorageSettings | None = None,
) -> Difference:
    """Compare two finished selections: documents in both and in one alone, figures, strata, settings that differ.

    Memory is bounded, whatever the selections hold.

    Args:
        output_a: where the first selection is.
        output_b: where the second is.
        key: field of the written records that names a document, where raw has moved or changed; default: file and
            position in raw.
        storage: how object storage is reached.

    Raises:
        RequestError: one is no finished selection, or a record has no such field.
        DamagedFileError: a part of an output cannot be read.
    """
    with storage_settings(storage or StorageSettings()):
        return difference((os.fspath(output_a), os.fspath(output_b)), key)


def _run(request: SelectConfig, executor: Executor | None, observe: Observer) -> Run:
    return Run(request, executor or InlineExecutor(), observe)


def _request(config: SelectConfig | None, settings: Mapping[str, Any], **needs: Any) -> SelectConfig:
    given = config.model_dump(exclude_unset=True) if config is not None else {}
    return parse_config({**given, **{name: _plain(value) for name, value in settings.items()}}, **needs)


def _plain(value: Any) -> Any:
    """Paths as the strings that a request holds."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value
