"""Scores from elsewhere as importance weights: from a field of each record, or joined from a table by key.

`log_weight = ngram * (the n-gram log weight) + external * score`. A document without a usable score gets NaN, is not
eligible, and is counted by reason.
"""

from __future__ import annotations

import decimal
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.settings import ExternalSettings
from dsir_core.corpus.tally import Tally

FINE, NOT_FINITE, NOT_A_NUMBER, MISSING, NO_KEY, NOT_IN_TABLE = range(6)
REASONS = ("", "not finite", "not a number", "missing", "record has no key", "key is not in the table")
"""By status of a score."""


@dataclass(frozen=True)
class DocumentScores:
    """Scores of documents, in order of position."""

    scores: npt.NDArray[np.float64]
    """float64[n]: NaN where there is none."""
    status: npt.NDArray[np.uint8]
    """uint8[n]."""
    duplicates: npt.NDArray[np.bool_]
    """bool[n]: whether the table holds the document's key more than once; the first of them is taken."""

    def __len__(self) -> int:
        return len(self.scores)

    def part(self, start: int, stop: int) -> DocumentScores:
        """The documents of [start, stop)."""
        return DocumentScores(self.scores[start:stop], self.status[start:stop], self.duplicates[start:stop])

    def write(self, stream: IO[bytes]) -> None:
        """As NumPy `.npz` without pickle."""
        np.savez(stream, scores=self.scores, status=self.status, duplicates=self.duplicates)

    @classmethod
    def from_bytes(cls, data: bytes) -> DocumentScores:
        """Inverse of `write`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["scores"], arrays["status"], arrays["duplicates"])


NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def scores_of(values: Sequence[Any]) -> DocumentScores:
    """Scores from the values of a field: numbers, or text that is one, since in CSV all values are text."""
    values = [_number(value) if isinstance(value, str) else value for value in values]
    status = np.array([_status(value) for value in values], np.uint8)
    scores = np.array(
        [float(value) if found == FINE else np.nan for value, found in zip(values, status, strict=True)], np.float64
    )
    return DocumentScores(scores, status, np.zeros(len(scores), bool))


def _number(text: str) -> float | str:
    """The number that a text is, in decimals; else the text."""
    return float(text) if NUMBER.fullmatch(text) else text


def _status(value: Any) -> int:
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        return NOT_A_NUMBER
    try:
        return FINE if np.isfinite(float(value)) else NOT_FINITE
    except OverflowError:
        return NOT_FINITE


def add_scores(
    log_weights: npt.NDArray[np.float64], found: DocumentScores, settings: ExternalSettings
) -> tuple[npt.NDArray[np.float64], DocumentScores]:
    """`ngram * log_weight + external * score` for each target, NaN for all targets where the status is not `FINE`.

    Args:
        log_weights: float64[n, targets].

    Returns:
        float64[n, targets], and the scores with the status of those that are too large to be weights.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        added = np.broadcast_to(np.float64(settings.external) * found.scores[:, None], log_weights.shape)
        if settings.ngram != 0:
            added = np.float64(settings.ngram) * log_weights + added
    too_large = ~np.isfinite(added).all(axis=1) & (found.status == FINE)
    if not too_large.any():
        return added, found
    status = np.where(too_large, np.uint8(NOT_FINITE), found.status)
    return np.where(too_large[:, None], np.nan, added), replace(found, status=status)


def account_scores(tally: Tally, path: str, positions: npt.NDArray[np.int64], found: DocumentScores) -> None:
    """Count the documents that have no usable score, and the keys that the table holds more than once."""
    tally.duplicate_keys += int(found.duplicates.sum())
    for row in np.flatnonzero(found.status).tolist():
        tally.add_unscored(path, int(positions[row]), REASONS[int(found.status[row])])
