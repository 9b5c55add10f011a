"""`dsir diff OUTPUT_A OUTPUT_B`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dsir_core.report.formatting import printable
from dsir_core.storage.connect import storage_settings
from flows.options import add_storage_options, storage_of
from flows.parser import Parser

if TYPE_CHECKING:
    from dsir_core.differences import Difference, Pair

PERCENTAGES = ("recovered", "top_k_overlap")
NAME_WIDTH, FIGURE_WIDTH = 36, 16
MAX_VALUE = 60
"""Characters of a setting that are shown."""


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.usage = f"{parser.prog} OUTPUT_A OUTPUT_B [options]"
    parser.add_examples("dsir diff selected selected-1", "dsir diff selected-may selected-june --key id --json")
    parser.add_argument("first", metavar="OUTPUT_A", help="the output of a finished run")
    parser.add_argument("second", metavar="OUTPUT_B", help="the output of another one")
    parser.add_argument(
        "--key", metavar="FIELD", help="field that names a document, where raw has moved [file and position in raw]"
    )
    parser.add_argument("--json", action="store_true", help="print the difference as one JSON object")
    add_storage_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    from dsir_core.differences import difference

    with storage_settings(storage_of(arguments)):
        found = difference((arguments.first, arguments.second), arguments.key)
    if arguments.json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        for line in _lines(found):
            print(line)
    return 0


def _lines(found: Difference) -> Iterator[str]:
    for letter, output, ended in zip("AB", found.outputs, found.ended, strict=True):
        yield f"{letter}: {output}{f' ({ended})' if ended else ''}"
    yield from (f"note: {note}" for note in found.notes)
    yield ""
    shared = found.shared
    by = f"by the field {found.key}" if found.key else "by file and position"
    yield f"documents {by}"
    sizes = [shared.both + n for n in shared.only]
    of = [f"{shared.both / n:.1%} of {letter}" for letter, n in zip("AB", sizes, strict=True) if n]
    for name, n, more in (
        ("in both", shared.both, f"  {', '.join(of)}" if of else ""),
        ("in A only", shared.only[0], ""),
        ("in B only", shared.only[1], ""),
    ):
        yield f"  {name:<{NAME_WIDTH - 2}}{n:>{FIGURE_WIDTH},}{more}"
    for letter, names in zip("AB", shared.named, strict=True):
        if names:
            yield f"  in {letter} only, for example: {', '.join(map(printable, names))}"
    yield from _table("figure", {name: _shown_pair(name, pair) for name, pair in found.figures.items()})
    if found.strata:
        totals = [sum(pair[side] for pair in found.strata.values()) for side in range(2)]
        yield from _table("stratum", {name: _with_shares(pair, totals) for name, pair in found.strata.items()})
    yield ""
    if not found.settings:
        yield "no setting differs"
        return
    yield "settings that differ"
    for name, (a, b) in found.settings.items():
        yield f"  {name:<{NAME_WIDTH - 2}}{_setting(a)} -> {_setting(b)}"


def _table(what: str, rows: dict[str, tuple[str, str]]) -> Iterator[str]:
    yield f"\n{what:<{NAME_WIDTH}}{'A':>{FIGURE_WIDTH}}{'B':>{FIGURE_WIDTH}}"
    for name, (a, b) in rows.items():
        shown = printable(name)
        yield f"{shown:<{NAME_WIDTH}}{a:>{FIGURE_WIDTH}}{b:>{FIGURE_WIDTH}}"


def _shown_pair(name: str, pair: Pair) -> tuple[str, str]:
    return _figure(name, pair[0]), _figure(name, pair[1])


def _figure(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith(PERCENTAGES):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _with_shares(pair: Pair, totals: list[int]) -> tuple[str, str]:
    a, b = (f"{n:,} ({n / total:.1%})" if total else f"{n:,}" for n, total in zip(pair, totals, strict=True))
    return a, b


def _setting(value: Any) -> str:
    shown = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return shown if len(shown) <= MAX_VALUE else f"{shown[: MAX_VALUE - 1]}\N{HORIZONTAL ELLIPSIS}"
