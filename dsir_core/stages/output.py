"""The output: never half a selection, never half of two.

A selection goes straight to an output that holds none; `report.json` comes last and says that it is complete. Where a
complete one stands, the new one is written to a folder inside first. When all of it is there, the old one is removed,
its report first, and the new one moved to its place, its report last. A list of names (`MANIFEST`) stands in the output
while files come and go, so that a run that was killed can be followed by another and foreign files are never touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dsir_core import selected
from dsir_core.errors import RequestError
from dsir_core.stages.run import Run
from dsir_core.store import Store

REPORT = "report.json"
REPORT_PAGE = "report.html"
MANIFEST = ".dsir-output.json"
INCOMING = ".dsir-incoming"
"""Folder inside an output for a selection that will replace the one that is there."""

OURS = (REPORT, REPORT_PAGE, selected.NAME, MANIFEST)
LIKE_OURS = ("part-", selected.NAME, "report.")
"""How the names of an output's files begin."""


def complete_report(output: str) -> dict[str, Any] | None:
    """The report of a complete selection at `output`, or None where there is none.

    Raises:
        RequestError: there is a report.json that is none of ours.
    """
    store = Store(output)
    try:
        report: dict[str, Any] = json.loads(store.read(REPORT))
        if report["documents"]["selected"] >= 0 and report["parts"] is not None:
            return report
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise RequestError(f"{store.shown}/{REPORT} is not a report of ours; choose another output")


def check_output(run: Run) -> None:
    """Refuse an output that this run must not write to.

    Raises:
        RequestError: there is a complete selection and `overwrite` is not set, or there are files like ours that no
            selection of ours has written.
    """
    output = Store(run.config.output)
    if complete_report(run.config.output) is not None and not run.config.overwrite:
        raise RequestError(
            f"{output.shown} holds a complete selection: choose another --output, or replace it with --overwrite"
        )
    _ours(output)


def begin_output(run: Run, parts: Sequence[str]) -> str:
    """Make room for a selection's files: the URL to write them to.

    Args:
        parts: names of the parts that will be written.
    """
    check_output(run)
    output = Store(run.config.output)
    incoming = Store(f"{run.config.output.rstrip('/')}/{INCOMING}")
    for name in incoming.names():
        incoming.remove(name)
    if complete_report(run.config.output) is not None:
        return incoming.url
    _list_and_remove(output, parts)
    return output.url


def commit_output(run: Run, place: str, report: bytes) -> None:
    """Complete a selection whose other files are all at `place` (of `begin_output`)."""
    output, written = Store(run.config.output), Store(place)
    if written.url != output.url:
        written.write(REPORT, report)
        names = sorted(written.names(), key=lambda name: name == REPORT)
        _list_and_remove(output, names)
        for name in names:
            output.move(f"{INCOMING}/{name}", name)
        output.remove_folder(INCOMING)
    else:
        output.write(REPORT, report)
    output.remove(MANIFEST)


def _list_and_remove(output: Store, names: Sequence[str]) -> None:
    """Remove an earlier selection, its report first; what comes and goes is listed before."""
    present = _ours(output)
    output.write(MANIFEST, json.dumps([*names, *present]).encode())
    for name in sorted(present, key=lambda name: name != REPORT):
        if name != MANIFEST:
            output.remove(name)


def _ours(output: Store) -> list[str]:
    """What an earlier selection has left at an output.

    Raises:
        RequestError: there are files like ours that no selection of ours has written.
    """
    report = complete_report(output.url)
    ours = [part["name"] for part in report["parts"]] if report is not None else []
    under_way = output.exists(MANIFEST)
    if under_way:
        ours += json.loads(output.read(MANIFEST))
    if under_way or report is not None:
        ours += OURS
    present = [name for name in output.names() if "/" not in name]
    foreign = [name for name in present if name.startswith(LIKE_OURS) and name not in ours]
    if foreign:
        raise RequestError(
            f"{output.shown} holds {foreign[0]}, which no selection of ours has written: choose another --output"
        )
    return [name for name in present if name in ours]
