"""`dsir explain OUTPUT`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dsir_core.config.numbers import GROUPED, SEPARATORS
from dsir_core.errors import RequestError
from dsir_core.report.formatting import counted, printable
from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of
from flows.parser import Parser
from flows.passing import say

if TYPE_CHECKING:
    from dsir_core.explained import ExplainedDocument
    from dsir_core.report.explained import Contribution, Explanation

NGRAM_WIDTH = 40


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} OUTPUT [options]"
    parser.add_argument("output", metavar="OUTPUT", help="the output of a finished run")
    parser.add_examples(
        "dsir explain selected --file books/a.jsonl --position 17",
        "dsir explain selected --where 'id == \"d00017\"' --html explained.html",
        "head -n 1 corpus/a.jsonl | dsir explain selected",
    )
    document = parser.add_argument_group("document (without these, a text or a JSON record on standard input)")
    document.add_argument("--file", metavar="F", help="path of the document's file below the raw corpus's root")
    document.add_argument(
        "--position", type=_position, metavar="P", help="position of its record, as in selected.parquet"
    )
    document.add_argument(
        "--where",
        metavar="CONDITION",
        help="the first document that meets it, as for --include; --file narrows it down",
    )
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--target", metavar="NAME", help="of several that select [the one that it weighs most for]")
    shown.add_argument("--top", type=_positive, default=15, metavar="N", help="n-grams on each side of the table [15]")
    shown.add_argument("--html", metavar="FILE", help="write a page with the text coloured by contribution, too")
    parser.add_argument("--workdir", default="", metavar="URL", help="where the run's model lies [as the report says]")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.finished import FinishedSelection

    if arguments.where is not None and arguments.position is not None:
        raise RequestError("--where and --position both name a document: give one of them")
    if arguments.where is None and (arguments.file is None) != (arguments.position is None):
        raise RequestError("--file and --position belong together")
    with storage_settings(storage_of(arguments)):
        finished = FinishedSelection(arguments.output, arguments.workdir)
        if arguments.where is not None:
            try:
                document = finished.explain_where(arguments.where, arguments.file, say)
            finally:
                say("")
        elif arguments.file is not None:
            document = finished.explain_document(arguments.file, arguments.position)
        else:
            document = finished.explain_given(_standard_input(), "standard input")
    chosen = document.by_target.get(arguments.target) if arguments.target else document.best
    if chosen is None:
        targets = ", ".join(document.by_target)
        raise RequestError(f"--target {arguments.target}: the targets that select are {targets}")
    _print(document, chosen, arguments.top)
    if arguments.html:
        from dsir_core.report.explained import render_explanation

        page = render_explanation(document.title, chosen, arguments.top, list(document.facts()))
        Path(arguments.html).write_text(page, encoding="utf-8")
        print(f"\n{arguments.html}")
    return 0


def _standard_input() -> bytes:
    """What is on standard input.

    Raises:
        RequestError: it is a terminal.
    """
    if sys.stdin.isatty():
        raise RequestError("name a document by --file and --position or by --where, or give a text on standard input")
    return sys.stdin.buffer.read()


def _print(document: ExplainedDocument, chosen: Explanation, top: int) -> None:
    from dsir_core.report.explained import strongest

    print(f"{document.title}: {counted(len(chosen.spans), 'token')}")
    for fact in document.facts():
        print(fact)
    positive, negative = strongest(chosen.contributions, top)
    for words, side in (("adds to the weight", positive), ("takes from the weight", negative)):
        print(f"\n{words:<{NGRAM_WIDTH}}{'times':>8}{'log ratio':>12}{'in all':>12}{'bucket':>10}")
        for contribution in side:
            _print_row(contribution)
        if not side:
            print("nothing")


def _print_row(one: Contribution) -> None:
    from dsir_core.report.formatting import decimal

    name = printable(one.ngram)
    name = name if len(name) < NGRAM_WIDTH else name[: NGRAM_WIDTH - 2] + "\N{HORIZONTAL ELLIPSIS}"
    print(f"{name:<{NGRAM_WIDTH}}{one.times:>8,}{decimal(one.log_ratio):>12}{decimal(one.total):>12}{one.bucket:>10}")


def _position(text: str) -> int:
    """A position, also with the commas that reports of earlier versions show."""
    if re.fullmatch(f"{GROUPED}|[0-9]+", text) is None:
        raise argparse.ArgumentTypeError(f"must be a whole number (got {text!r})")
    return int(text.translate(SEPARATORS))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
