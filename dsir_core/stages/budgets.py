"""How much of a corpus may be unreadable before a run fails: bad records, and shards that are left out."""

from __future__ import annotations

from collections.abc import Sequence

from dsir_core.corpus.tally import Tally
from dsir_core.errors import DamagedFileError, RunFailedError, WorkerLostError
from dsir_core.report.formatting import counted
from dsir_core.stages.run import Run

N_NAMED = 3
"""How many failed shards or bad records an error names."""


def check_bad_records(run: Run, what: str, tally: Tally) -> None:
    """Compare bad records with what is allowed.

    Raises:
        RunFailedError: above it; names the first bad records and where all of them are listed.
    """
    if tally.bad <= run.config.max_bad_fraction * tally.records:
        return
    first = "; ".join(f"{bad.path} at {bad.position}: {bad.reason}" for bad in tally.first_bad[:N_NAMED])
    raise RunFailedError(
        f"{what}: {tally.bad:,} of {counted(tally.records, 'record')} are bad, more than max_bad_fraction "
        f"{run.config.max_bad_fraction:g} allows: {first}. All are listed in {run.store.redacted}/quarantine/. "
        f"If that is acceptable, raise --max-bad-fraction; if the text stands in another field, set --text-field"
    )


def check_damaged_shards(run: Run, stage: str, errors: Sequence[DamagedFileError | WorkerLostError]) -> None:
    """Compare the shards that a stage leaves out with what is allowed.

    Args:
        errors: one for each such shard.

    Raises:
        RunFailedError: there are more than `max_bad_shards`.
    """
    if len(errors) <= run.config.max_bad_shards:
        return
    names = "; ".join(map(str, errors[:N_NAMED]))
    lost = any(isinstance(error, WorkerLostError) for error in errors)
    what = "end every worker that tries them" if lost else "cannot be read whole"
    mend = "Give workers more memory, or cut smaller shards (--shard-bytes)," if lost else "Repair or remove the file"
    raise RunFailedError(
        f"{stage}: {counted(len(errors), 'shard')} {what}: {names}. All other shards are done. {mend} and run the "
        f"same command again, or leave such shards out with --max-bad-shards {len(errors)}"
    )
