"""The output: never half a selection, never half of two.

A selection goes straight to an output that holds none; `report.json` comes last and says that it is complete. Where a
complete one stands, the new one is written to a folder inside first. When all of it is there, the old report is removed
and the new files moved to the place of the old ones, the new report last. A list of names (`MANIFEST`) stands in the
output while files come and go, so that a run that was killed can be followed by another and foreign files are never
touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.shards import selection_list as selected
from dsir_core.shards.parts import PartResult
from dsir_core.stages.run import Run

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
        RequestError: there is a report.json that dsir has not written.
    """
    store = Store(output)
    try:
        report: dict[str, Any] = json.loads(store.read(REPORT))
        if report["documents"]["selected"] >= 0 and report["parts"] is not None:
            return report
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        if store.exists(MANIFEST):  # storage on which a write can be cut short
            return None
    raise RequestError(f"{store.redacted}/{REPORT} is not a report of ours; choose another output")


def check_output(run: Run) -> None:
    """Refuse an output that this run must not write to.

    Raises:
        RequestError: there is a complete selection and `overwrite` is not set, or there are files like ours that no
            selection of ours has written.
    """
    output = Store(run.config.output)
    if complete_report(run.config.output) is not None and not run.config.overwrite:
        raise RequestError(
            f"{output.redacted} holds a complete selection: choose another --output, or replace it with --overwrite"
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
    output.remove_abandoned()
    if complete_report(run.config.output) is not None:
        return incoming.url
    _list_and_remove(output, parts)
    return output.url


def commit_output(run: Run, place: str, parts: Sequence[PartResult], report: bytes) -> None:
    """Complete a selection whose other files are all at `place` (of `begin_output`).

    Called again after a failure in the middle, it goes on from there.

    Raises:
        RunFailedError: the output does not hold the parts that were written.
    """
    output, written = Store(run.config.output), Store(place)
    names = [*(part.name for part in parts), selected.NAME, REPORT_PAGE]
    if written.url != output.url:
        written.write(REPORT, report)
        _take_place(output, names, set(written.names()))
        _check_parts(output, parts)
        output.move(f"{INCOMING}/{REPORT}", REPORT)
        output.remove_folder(INCOMING)
    else:
        _check_parts(output, parts)
        output.write(REPORT, report)
    output.remove(MANIFEST)
    output.remove_abandoned()


def _take_place(output: Store, names: Sequence[str], waiting: set[str]) -> None:
    """Move the files of a selection that still wait in the folder inside, and remove those of the one before."""
    before = _ours(output)
    output.write(MANIFEST, json.dumps([*names, *before]).encode())
    if REPORT in before:
        output.remove(REPORT)
    for name in names:
        if name in waiting:
            output.move(f"{INCOMING}/{name}", name)
    for name in before:
        if name not in (*names, REPORT, MANIFEST):
            output.remove(name)


def _check_parts(output: Store, parts: Sequence[PartResult]) -> None:
    """Check that the parts are at the output as they were written.

    Raises:
        RunFailedError: a part is not there as it was written.
    """
    sizes = {entry.name: entry.size for entry in output.entries()}
    for part in parts:
        if sizes.get(part.name) != part.n_bytes:
            raise RunFailedError(
                f"{output.redacted}/{part.name} is not what this run has written: another run writes to the same "
                f"output, or the file was touched; run the same command again"
            )


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
    present = [name for name in output.names() if "/" not in name]
    under_way = output.exists(MANIFEST)
    if under_way:
        ours += _under_way(output, present)
    if under_way or report is not None:
        ours += OURS
    foreign = [name for name in present if name.startswith(LIKE_OURS) and name not in ours]
    if foreign:
        raise RequestError(
            f"{output.redacted} holds {foreign[0]}, which no selection of ours has written: choose another --output"
        )
    return [name for name in present if name in ours]


def _under_way(output: Store, present: Sequence[str]) -> list[str]:
    """What a run that was at an output has listed there.

    Where storage has cut the list short, all that looks like ours: nothing else did when the list was first written.
    """
    try:
        return list(json.loads(output.read(MANIFEST)))
    except ValueError:
        return [name for name in present if name.startswith(LIKE_OURS)]
