"""A finished selection, opened again: its report, its model, and the documents it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dsir_core.checkpoints.kinds import MODEL
from dsir_core.checkpoints.manifest import FOLDER, recorded_runs
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.corpus.given import given_text
from dsir_core.errors import RequestError
from dsir_core.explained import ExplainedDocument, standing
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.model.importance import FittedModel
from dsir_core.raw_documents import RawDocument, document_at, document_where, read_settings_of
from dsir_core.report.comparison import PAGE
from dsir_core.report.html import render
from dsir_core.shards.explaining import explain
from dsir_core.shards.selection_list import find_selected
from dsir_core.stages.output_dir import REPORT, REPORT_PAGE, complete_report
from dsir_core.urls import without_credentials

WAY_OUT = "name the workdir by --workdir, or run the same dsir select again with --overwrite"


class FinishedSelection:
    """The selection at an output.

    Args:
        output: directory or URL.
        workdir: where the run's model lies; default: where the report says.

    Raises:
        RequestError: there is no finished selection, or it was made by another tokenizer.
    """

    def __init__(self, output: str, workdir: str = "") -> None:
        self.output = output
        self.report = finished_report(output)
        self._store = Store(workdir or _recorded_workdir(output, self.report))
        made_by = self.report["versions"]["tokenizer"]
        if made_by != TOKENIZER_VERSION:
            raise RequestError(f"the selection was made by tokenizer {made_by}, this package has {TOKENIZER_VERSION}")

    def explain_document(self, file: str, position: int) -> ExplainedDocument:
        """The log weight of a document of the raw corpus.

        Args:
            file: path below the corpus root, as in selected.parquet.
            position: of its record, as in selected.parquet.

        Raises:
            RequestError: there is no such document, or the model is not in the workdir any more, or is damaged.
        """
        return self._explained(document_at(self.report, file, position))

    def explain_where(
        self, where: str, file: str | None = None, say: Callable[[str], None] = lambda _: None
    ) -> ExplainedDocument:
        """The log weight of the first document of the raw corpus that meets a condition.

        Args:
            where: a condition on the fields of its record, as in `include`.
            file: path below the corpus root: look in this file only.
            say: is told how far the search is, where it takes longer than a moment.

        Raises:
            RequestError: as for `explain_document`, or the condition is not valid.
        """
        return self._explained(document_where(self.report, where, file, say))

    def explain_given(self, data: bytes, source: str) -> ExplainedDocument:
        """The log weight of a text given by hand, by the selection's model; of a JSON object its text field.

        Args:
            data: UTF-8.
            source: where the data comes from, for messages.

        Raises:
            RequestError: the data is no text; or as for `explain_text`.
        """
        read = read_settings_of(self.report)
        text, is_record = given_text(data, read, source)
        of_record = f"{' and '.join(read.text_field)} of the JSON record" if is_record else "text"
        return self.explain_text(text, f"{of_record} on {source}")

    def explain_text(self, text: str, title: str = "the given text") -> ExplainedDocument:
        """A text's log weight by the selection's model.

        Raises:
            RequestError: the model is not in the workdir any more, or is damaged.
        """
        found = explain(text, self._model(), self._features())
        standings = {one.target: standing(self.report, one.target, one.log_weight, len(one.spans)) for one in found}
        has_scores = bool(self.report["config"].get("weights"))
        return ExplainedDocument(title, {one.target: one for one in found}, standings, has_scores)

    def _explained(self, document: RawDocument) -> ExplainedDocument:
        title = f"{document.file} at {document.position}"
        chosen = find_selected(Store(self.output), document.file, document.position)
        return replace(self.explain_text(document.text, title), chosen=chosen)

    def _features(self) -> FeatureSettings:
        config = self.report["config"]
        return FeatureSettings(
            **{name: value for name, value in config.items() if name in FeatureSettings.model_fields}
        )

    def _model(self) -> FittedModel:
        store, digest = self._store, self.report["model_digest"]
        try:
            data = store.read(f"{MODEL.name(digest)}{MODEL.suffix}")
        except FileNotFoundError:
            raise RequestError(f"{store.redacted}: the run's model is not there (any more): {WAY_OUT}") from None
        try:
            model = FittedModel.from_bytes(data)
        except Exception as error:  # whatever NumPy says of damaged bytes
            raise RequestError(
                f"{store.redacted}: the run's model is damaged ({type(error).__name__}): {WAY_OUT}"
            ) from None
        if model.digest != digest:
            raise RequestError(f"{store.redacted}: the run's model is damaged (its digest is another): {WAY_OUT}")
        return model


def workdir_of(place: str) -> str:
    """The workdir of an output; of a run that has not finished, by its default name. A workdir itself as it is.

    Raises:
        RequestError: there is a report that dsir has not written.
    """
    if (report := complete_report(place)) is not None:
        return _recorded_workdir(place, report)
    default = place.rstrip("/") + ".work"
    return default if not Store(place).entries(FOLDER) and Store(default).entries(FOLDER) else place


def _recorded_workdir(output: str, report: dict[str, Any]) -> str:
    recorded: str = report.get("workdir") or report["config"].get("workdir") or output.rstrip("/") + ".work"
    return recorded


def finished_report(output: str) -> dict[str, Any]:
    """The content of report.json.

    Raises:
        RequestError: there is no finished selection.
    """
    report = complete_report(output)
    if report is None:
        raise RequestError(f"{without_credentials(output)}: no report.json there, so no finished selection")
    return report


def write_pages(place: str) -> Iterator[str]:
    """Write report.html again, from report.json; yields where each page is.

    Args:
        place: an output, or a workdir: then the outputs of all its finished runs.

    Raises:
        RequestError: there is no finished selection.
    """
    for output in _outputs(place):
        Store(output).write(REPORT_PAGE, render(finished_report(output)).encode())
        yield f"{without_credentials(output).rstrip('/')}/{REPORT_PAGE}"


def _outputs(place: str) -> list[str]:
    """The output itself, or where the finished runs of a workdir have put theirs."""
    store = Store(place)
    if store.exists(REPORT):
        return [place]
    runs = recorded_runs(store)
    ended = [run.output for run in runs if run.ended and run.output and not run.output.endswith(f"/{PAGE}")]
    if runs and not ended:
        raise RequestError(
            f"{store.redacted}: a workdir, but none of its runs has finished; dsir status shows what is missing"
        )
    return ended or [place]
