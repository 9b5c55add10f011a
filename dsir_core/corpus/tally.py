"""What was read from a shard, counted: every record is a document or a bad record, and none is lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Self

import numpy as np

from dsir_core.corpus.types import BadRecord, Batch

N_EXAMPLES = 5
"""Bad records kept by name in a tally; all of them stand in the quarantine file."""

SPOOL_BYTES = 4 * 2**20


@dataclass(slots=True)
class Tally:
    """Mergeable counts of what was read."""

    documents: int = 0
    bad: int = 0
    tokens: int = 0
    n_bytes: int = 0
    """Decompressed bytes read."""
    parents: int = 0
    """Whole documents, of which `documents` are chunks when they are cut."""
    unspaced_bytes: int = 0
    """Of targets: bytes of text that are letters of scripts without spaces between words."""
    excluded: int = 0
    """Records kept out by `include` and `exclude`."""
    unscored: dict[str, int] = field(default_factory=dict)
    """Documents without a usable score from elsewhere, by reason."""
    first_unscored: list[BadRecord] = field(default_factory=list)
    duplicate_keys: int = 0
    """Documents whose key the table of scores holds more than once."""
    strata: dict[str, list[int]] = field(default_factory=dict)
    """Of targets: documents and tokens by stratum."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Bad records by reason."""
    first_bad: list[BadRecord] = field(default_factory=list)

    @property
    def records(self) -> int:
        """All that were read: documents, bad records, and those that conditions keep out."""
        return self.documents + self.bad + self.excluded

    @property
    def signature(self) -> tuple[int, int, int, int]:
        """Documents, bad records, excluded records, tokens: what two readings of a shard must agree on."""
        return self.documents, self.bad, self.excluded, self.tokens

    def compact(self) -> Tally:
        """The counts alone: what is held of every shard must be small."""
        return Tally(self.documents, self.bad, self.tokens, self.n_bytes, excluded=self.excluded)

    def add_bad(self, record: BadRecord) -> None:
        """Count one bad record."""
        self.bad += 1
        reason = record.reason.partition(":")[0]
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.first_bad) < N_EXAMPLES:
            self.first_bad.append(record)

    def add_stratum(self, name: str, documents: int, tokens: int) -> None:
        """Count documents of a stratum."""
        before = self.strata.get(name, [0, 0])
        self.strata[name] = [before[0] + documents, before[1] + tokens]

    def add_unscored(self, path: str, position: int, reason: str) -> None:
        """Count one document without a usable score."""
        self.unscored[reason] = self.unscored.get(reason, 0) + 1
        if len(self.first_unscored) < N_EXAMPLES:
            self.first_unscored.append(BadRecord(path, position, reason))

    def merge(self, other: Tally) -> None:
        """Add another tally's counts to this one."""
        self.documents += other.documents
        self.bad += other.bad
        self.tokens += other.tokens
        self.n_bytes += other.n_bytes
        self.parents += other.parents
        self.unspaced_bytes += other.unspaced_bytes
        self.excluded += other.excluded
        self.duplicate_keys += other.duplicate_keys
        for name, (documents, tokens) in other.strata.items():
            self.add_stratum(name, documents, tokens)
        self.reasons = dict(sorted((Counter(self.reasons) + Counter(other.reasons)).items()))
        self.first_bad = _first([*self.first_bad, *other.first_bad])
        self.unscored = dict(sorted((Counter(self.unscored) + Counter(other.unscored)).items()))
        self.first_unscored = _first([*self.first_unscored, *other.first_unscored])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Inverse of `to_json`."""
        named = {name: [BadRecord(**record) for record in value[name]] for name in ("first_bad", "first_unscored")}
        return cls(**{**value, **named})


def _first(records: list[BadRecord]) -> list[BadRecord]:
    return sorted(records, key=lambda record: (record.path, record.position))[:N_EXAMPLES]


class Quarantine:
    """Bad records on their way to a quarantine file: JSON lines of path, position and reason, never content."""

    def __init__(self) -> None:
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115

    def watch(self, batches: Iterator[Batch], tally: Tally) -> Iterator[Batch]:
        """Pass batches on while counting their documents, bytes and bad records."""
        for batch in batches:
            for record in batch.bad:
                tally.add_bad(record)
                self._spool.write(json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")
            tally.documents += len(batch)
            tally.parents += int((np.diff(batch.positions, prepend=-1) != 0).sum())
            tally.n_bytes += batch.n_bytes
            tally.excluded += batch.excluded
            yield batch

    def copy_to(self, stream: IO[bytes]) -> None:
        """Write all lines to a stream."""
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, stream)

    def close(self) -> None:
        """Let go of the temporary file."""
        self._spool.close()
