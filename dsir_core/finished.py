"""A finished selection, opened again: its report, its model, and the documents it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from dsir_core.checkpoints.kinds import MODEL
from dsir_core.checkpoints.manifest import FOLDER, recorded_runs
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.explaining import explain
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.model.importance import FittedModel
from dsir_core.report.comparison import PAGE
from dsir_core.report.explained import Explanation
from dsir_core.report.html import render
from dsir_core.shards.examples import read_texts
from dsir_core.stages.output_dir import REPORT, REPORT_PAGE, complete_report
from dsir_core.urls import without_credentials

WAY_OUT = "name the workdir by --workdir, or run the same dsir select again with --overwrite"

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True)
class ExplainedDocument:
    """A document's log weight under each target of a selection."""

    title: str
    by_target: Mapping[str, Explanation]
    thresholds: Mapping[str, float]
    """About what log weight was selected, by target; without the targets for which there is no one such weight."""
    has_scores: bool
    """Whether the selection's weights hold scores from elsewhere: what is explained is then the n-grams' part."""

    @property
    def best(self) -> Explanation:
        """The explanation for the target that the document weighs most for."""
        return max(self.by_target.values(), key=lambda one: one.log_weight)

    def _repr_html_(self) -> str:
        """The best explanation, as a notebook shows it."""
        return self.best._repr_html_()


class FinishedSelection:
    """The selection at an output.

    Args:
        output: directory or URL.
        workdir: where the run's model lies; default: where the report says.

    Raises:
        RequestError: there is no finished selection, or it was made by another tokenizer.
    """

    def __init__(self, output: str, workdir: str = "") -> None:
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
        return self.explain_text(self._text(file, position), f"{file} at {position}")

    def explain_text(self, text: str, title: str = "the given text") -> ExplainedDocument:
        """A text's log weight by the selection's model.

        Raises:
            RequestError: the model is not in the workdir any more, or is damaged.
        """
        found = explain(text, self._model(), self._settings(FeatureSettings))
        by_target = {one.target: one for one in found}
        thresholds = {
            name: each["thresholds"][0] * self._length_factor(name, len(by_target[name].spans))
            for name, each in self.report.get("histograms", {}).items()
            if len(each["thresholds"]) == 1 and name in by_target
        }
        return ExplainedDocument(title, by_target, thresholds, has_scores=bool(self.report["config"].get("weights")))

    def _length_factor(self, name: str, n_tokens: int) -> float:
        """A document's log weight as a multiple of its normalised one, by which it was selected."""
        fit = self.report["fit"]
        if "typical_tokens" not in fit:  # a report of an earlier version, without length normalisation by default
            return 1.0
        power = {"none": 0.0, "sqrt": 0.5, "tokens": 1.0}[fit["length_normalise"][name]]
        factor: float = (max(1, n_tokens) / fit["typical_tokens"][name]) ** power
        return factor

    def _text(self, file: str, position: int) -> str:
        root = self.report["corpus"]["raw"]["root"]
        is_url = not root or "://" in file  # on another filesystem than the list file that names it
        url = file if is_url else f"{root.rstrip('/')}/{file}"
        (source,) = list_corpus([url]).files
        try:
            ((text, _),) = read_texts(source, self._settings(ReadSettings).unconditional, [position])
        except (DamagedFileError, ValueError) as error:
            raise RequestError(
                f"{without_credentials(url)}: no document stands at position {position} "
                f"(as selected.parquet gives it), or the file cannot be read: {error}"
            ) from None
        return text

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

    def _settings(self, kind: type[Settings]) -> Settings:
        return kind(**{name: value for name, value in self.report["config"].items() if name in kind.model_fields})


def workdir_of(place: str) -> str:
    """The workdir of an output; of a run that has not finished, by its default name. A workdir itself as it is.

    Raises:
        RequestError: there is a report that is none of ours.
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
