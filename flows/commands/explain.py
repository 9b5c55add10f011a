"""`dsir explain OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import without_credentials
from flows.options import add_storage_options, storage_of

if TYPE_CHECKING:
    from dsir_core.model.importance import FittedModel
    from dsir_core.report.explained import Contribution, Explanation

NGRAM_WIDTH = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    parser.add_argument("output", metavar="OUTPUT", help="the output of a finished run")
    document = parser.add_argument_group("document (without these, a text on standard input)")
    document.add_argument("--file", metavar="F", help="path of the document's file below the raw corpus's root")
    document.add_argument("--position", type=int, metavar="P", help="position of its record, as in selected.parquet")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--target", metavar="NAME", help="of several that select [the one that it weighs most for]")
    shown.add_argument("--top", type=_positive, default=15, metavar="N", help="n-grams on each side of the table [15]")
    shown.add_argument("--html", metavar="FILE", help="write a page with the text coloured by contribution, too")
    parser.add_argument("--workdir", metavar="URL", help="where the run's model lies [as the report says]")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.config.features import FeatureSettings
    from dsir_core.explaining import explain
    from dsir_core.stages.output_dir import complete_report

    with storage_settings(storage_of(arguments)):
        report = complete_report(arguments.output)
        if report is None:
            raise RequestError(
                f"{without_credentials(arguments.output)}: no report.json there, so no finished selection"
            )
        model = _model(arguments, report)
        text, title = _document(arguments, report)
    features = FeatureSettings(**_fields(report, FeatureSettings))
    found = {one.target: one for one in explain(text, model, features)}
    chosen = found.get(arguments.target or max(found, key=lambda name: found[name].log_weight))
    if chosen is None:
        raise RequestError(f"--target {arguments.target}: the targets that select are {', '.join(found)}")
    _print(title, list(found.values()), chosen, report, arguments.top)
    if arguments.html:
        from dsir_core.report.explained import render_explanation

        Path(arguments.html).write_text(render_explanation(title, chosen, arguments.top), encoding="utf-8")
        print(f"\n{arguments.html}")
    return 0


def _model(arguments: argparse.Namespace, report: dict[str, Any]) -> FittedModel:
    """The run's model, from its workdir.

    Raises:
        RequestError: it is not there any more, or the tokenizer is another now.
    """
    from dsir_core.checkpoints.store import Store
    from dsir_core.features import TOKENIZER_VERSION
    from dsir_core.model.importance import FittedModel

    made_by = report["versions"]["tokenizer"]
    if made_by != TOKENIZER_VERSION:
        raise RequestError(f"the selection was made by tokenizer {made_by}, this package has {TOKENIZER_VERSION}")
    recorded = report.get("workdir") or report["config"].get("workdir") or arguments.output.rstrip("/") + ".work"
    store = Store(arguments.workdir or recorded)
    way_out = "name the workdir by --workdir, or run the same dsir select again with --overwrite"
    try:
        data = store.read(f"model/{report['model_digest']}.npz")
    except FileNotFoundError:
        raise RequestError(f"{store.redacted}: the run's model is not there (any more): {way_out}") from None
    try:
        model = FittedModel.from_bytes(data)
    except Exception as error:  # whatever NumPy says of damaged bytes
        raise RequestError(
            f"{store.redacted}: the run's model is damaged ({type(error).__name__}): {way_out}"
        ) from None
    if model.digest != report["model_digest"]:
        raise RequestError(f"{store.redacted}: the run's model is damaged (its digest is another): {way_out}")
    return model


def _document(arguments: argparse.Namespace, report: dict[str, Any]) -> tuple[str, str]:
    """The text, and what it is called.

    Raises:
        RequestError: there is none.
    """
    if (arguments.file is None) != (arguments.position is None):
        raise RequestError("--file and --position belong together")
    if arguments.file is None:
        if sys.stdin.isatty():
            raise RequestError("name a document by --file and --position, or give a text on standard input")
        try:
            return sys.stdin.buffer.read().decode(), "text on standard input"
        except UnicodeDecodeError as error:
            raise RequestError(f"standard input is not UTF-8: byte {error.start}") from None

    from dsir_core.config.reading import ReadSettings
    from dsir_core.corpus.listing import list_corpus
    from dsir_core.shards.examples import read_texts

    root = report["corpus"]["raw"]["root"]
    url = f"{root.rstrip('/')}/{arguments.file}" if root else arguments.file
    (file,) = list_corpus([url]).files
    read = ReadSettings(**_fields(report, ReadSettings)).unconditional
    try:
        ((text, _),) = read_texts(file, read, [arguments.position])
    except (DamagedFileError, ValueError) as error:
        raise RequestError(
            f"{without_credentials(url)}: no document stands at position {arguments.position} "
            f"(as selected.parquet gives it), or the file cannot be read: {error}"
        ) from None
    return text, f"{arguments.file} at {arguments.position}"


def _fields(report: dict[str, Any], settings: Any) -> dict[str, Any]:
    return {name: value for name, value in report["config"].items() if name in settings.model_fields}


def _print(title: str, every: list[Explanation], chosen: Explanation, report: dict[str, Any], top: int) -> None:
    from dsir_core.report.explained import strongest

    print(f"{title}: {len(chosen.spans):,} tokens")
    for one in every:
        thresholds = report.get("histograms", {}).get(one.target, {}).get("thresholds", [])
        if report["config"].get("length_normalise", "none") != "none":
            thresholds = []  # that of log weights divided by length
        near = f" (threshold about {thresholds[0]:,.3f})" if len(thresholds) == 1 else ""
        print(f"log weight for {one.target}: {one.log_weight:,.3f}{near}")
    if report["config"].get("weights"):
        print("the run's weights have scores from elsewhere in them, too: this is the n-grams' part")
    positive, negative = strongest(chosen.contributions, top)
    for words, side in (("adds to the weight", positive), ("takes from the weight", negative)):
        print(f"\n{words:<{NGRAM_WIDTH}}{'times':>8}{'log ratio':>12}{'in all':>12}{'bucket':>10}")
        for contribution in side:
            _print_row(contribution)
        if not side:
            print("nothing")


def _print_row(one: Contribution) -> None:
    # A document may hold what a terminal obeys.
    name = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in one.ngram)
    name = name if len(name) < NGRAM_WIDTH else name[: NGRAM_WIDTH - 2] + "\N{HORIZONTAL ELLIPSIS}"
    print(f"{name:<{NGRAM_WIDTH}}{one.times:>8,}{one.log_ratio:>12,.3f}{one.total:>12,.3f}{one.bucket:>10}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
