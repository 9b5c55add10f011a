"""`dsir explain OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dsir_core.errors import RequestError
from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of
from flows.parser import Parser

if TYPE_CHECKING:
    from dsir_core.finished import ExplainedDocument
    from dsir_core.report.explained import Contribution, Explanation

NGRAM_WIDTH = 40


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} OUTPUT [options]"
    parser.add_argument("output", metavar="OUTPUT", help="the output of a finished run")
    document = parser.add_argument_group("document (without these, a text on standard input)")
    document.add_argument("--file", metavar="F", help="path of the document's file below the raw corpus's root")
    document.add_argument("--position", type=int, metavar="P", help="position of its record, as in selected.parquet")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--target", metavar="NAME", help="of several that select [the one that it weighs most for]")
    shown.add_argument("--top", type=_positive, default=15, metavar="N", help="n-grams on each side of the table [15]")
    shown.add_argument("--html", metavar="FILE", help="write a page with the text coloured by contribution, too")
    parser.add_argument("--workdir", default="", metavar="URL", help="where the run's model lies [as the report says]")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.finished import FinishedSelection

    if (arguments.file is None) != (arguments.position is None):
        raise RequestError("--file and --position belong together")
    with storage_settings(storage_of(arguments)):
        finished = FinishedSelection(arguments.output, arguments.workdir)
        if arguments.file is None:
            document = finished.explain_text(_standard_input(), "text on standard input")
        else:
            document = finished.explain_document(arguments.file, arguments.position)
    chosen = document.by_target.get(arguments.target) if arguments.target else document.best
    if chosen is None:
        targets = ", ".join(document.by_target)
        raise RequestError(f"--target {arguments.target}: the targets that select are {targets}")
    _print(document, chosen, arguments.top)
    if arguments.html:
        from dsir_core.report.explained import render_explanation

        page = render_explanation(document.title, chosen, arguments.top)
        Path(arguments.html).write_text(page, encoding="utf-8")
        print(f"\n{arguments.html}")
    return 0


def _standard_input() -> str:
    """The text on standard input.

    Raises:
        RequestError: there is none, or it is not UTF-8.
    """
    if sys.stdin.isatty():
        raise RequestError("name a document by --file and --position, or give a text on standard input")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"standard input is not UTF-8: byte {error.start}") from None


def _print(document: ExplainedDocument, chosen: Explanation, top: int) -> None:
    from dsir_core.report.explained import strongest

    print(f"{document.title}: {len(chosen.spans):,} tokens")
    for target, one in document.by_target.items():
        threshold = document.thresholds.get(target)
        near = f" (threshold about {threshold:,.3f})" if threshold is not None else ""
        print(f"log weight for {target}: {one.log_weight:,.3f}{near}")
    if document.has_scores:
        print("the run's weights also hold scores from elsewhere: this is the part of the n-grams")
    positive, negative = strongest(chosen.contributions, top)
    for words, side in (("adds to the weight", positive), ("takes from the weight", negative)):
        print(f"\n{words:<{NGRAM_WIDTH}}{'times':>8}{'log ratio':>12}{'in all':>12}{'bucket':>10}")
        for contribution in side:
            _print_row(contribution)
        if not side:
            print("nothing")


def _print_row(one: Contribution) -> None:
    # Terminals obey control characters, and a document may hold any.
    name = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in one.ngram)
    name = name if len(name) < NGRAM_WIDTH else name[: NGRAM_WIDTH - 2] + "\N{HORIZONTAL ELLIPSIS}"
    print(f"{name:<{NGRAM_WIDTH}}{one.times:>8,}{one.log_ratio:>12,.3f}{one.total:>12,.3f}{one.bucket:>10}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
