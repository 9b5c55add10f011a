"""What was read from a shard, counted: every record is a document or a bad record, and none is lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Self

from dsir_core.corpus.types import BadRecord, Batch

N_EXAMPLES = 5
"""Bad records kept by name in a tally; all of them stand in the quarantine file."""

SPOOL_BYTES = 4 * 2**20


@dataclass
class Tally:
    """Mergeable counts of what was read."""

    documents: int = 0
    bad: int = 0
    tokens: int = 0
    n_bytes: int = 0
    """Decompressed bytes read."""
    unspaced_bytes: int = 0
    """Of targets: bytes of text that are letters of scripts without spaces between words."""
    excluded: int = 0
    """Records kept out by `include` and `exclude`."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Bad records by reason."""
    first_bad: list[BadRecord] = field(default_factory=list)

    @property
    def records(self) -> int:
        """All that were read: documents, bad records, and those that conditions keep out."""
        return self.documents + self.bad + self.excluded

    def add_bad(self, record: BadRecord) -> None:
        """Count one bad record."""
        self.bad += 1
        reason = record.reason.partition(":")[0]
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.first_bad) < N_EXAMPLES:
            self.first_bad.append(record)

    def merge(self, other: Tally) -> None:
        """Add another tally's counts to this one."""
        self.documents += other.documents
        self.bad += other.bad
        self.tokens += other.tokens
        self.n_bytes += other.n_bytes
        self.unspaced_bytes += other.unspaced_bytes
        self.excluded += other.excluded
        self.reasons = dict(sorted((Counter(self.reasons) + Counter(other.reasons)).items()))
        worst = sorted([*self.first_bad, *other.first_bad], key=lambda bad: (bad.path, bad.position))
        self.first_bad = worst[:N_EXAMPLES]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**{**value, "first_bad": [BadRecord(**record) for record in value["first_bad"]]})


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
