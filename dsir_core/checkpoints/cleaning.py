"""What can be removed from a workdir."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dsir_core.checkpoints.manifest import Recorded, of_runs, recorded_runs, unneeded
from dsir_core.checkpoints.store import Entry, Store
from dsir_core.errors import RequestError
from dsir_core.urls import absolute


@dataclass(frozen=True)
class Cleaning:
    """Files of a workdir that no run needs."""

    removable: Sequence[Entry]
    young: Sequence[Entry]
    """What no recorded run needs, and is kept since a run may be under way that does."""
    n_files: int
    """Files that runs have written, with those that are needed."""
    kept: Sequence[Recorded]
    """The last run to each output, which keeps what it needs."""


def plan_cleaning(store: Store, *, forget: Collection[str], before: float) -> Cleaning:
    """Find what no run needs; nothing is removed.

    Args:
        forget: outputs whose runs need nothing any more.
        before: seconds since 1970; younger files stay, since a run that is under way may need them.

    Raises:
        RequestError: there is no workdir, or no run to an output in `forget` is recorded.
        RunFailedError: the record of a run is damaged.
    """
    entries = of_runs(store.entries())
    recorded = recorded_runs(store)
    forgotten = {absolute(output) for output in forget}
    unknown = sorted(forgotten - {one.output for one in recorded})
    if unknown:
        raise RequestError(f"--forget {unknown[0]}: no run to it is recorded in {store.redacted}")
    if not recorded:
        raise RequestError(f"{store.redacted}: no workdir there, or none that says which runs need what")
    kept = [one for one in recorded if one.output not in forgotten]
    return Cleaning(*unneeded(entries, kept, before=before), len(entries), kept)
