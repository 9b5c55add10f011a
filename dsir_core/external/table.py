"""Tables of scores by key, read a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.corpus.formats.columns import plain_values
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.types import SourceFile
from dsir_core.external.keys import key_strings
from dsir_core.external.scores import scores_of


@dataclass(frozen=True)
class TableRows:
    """Some rows of a table, those with a key."""

    keys: Any
    """Arrow large_string[n]."""
    scores: npt.NDArray[np.float64]
    """float64[n], NaN where the status is not 0."""
    status: npt.NDArray[np.uint8]


def read_table(files: tuple[SourceFile, ...], key: str, column: str) -> Iterator[TableRows]:
    """Rows of a table, in order.

    Raises:
        DamagedFileError: a file cannot be read whole.
        RequestError: a file with named columns has no such column.
    """
    for file in files:
        for keys, scores in format_of(file).columns(file, (key, column)):
            texts, there = _keys(keys)
            values, status = _scores(scores)
            yield TableRows(texts.filter(pa.array(there)), values[there], status[there])


def _keys(column: Any) -> tuple[Any, npt.NDArray[np.bool_]]:
    """See `key_strings`; of an Arrow array or a list."""
    if not isinstance(column, pa.Array):
        return key_strings(column)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_string()).fill_null(""), column.is_valid().to_numpy(zero_copy_only=False)
    return key_strings(plain_values(column))


def _scores(column: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Scores and their status, of an Arrow array or a list."""
    if isinstance(column, pa.Array) and pa.types.is_floating(column.type) and not column.null_count:
        values = column.cast(pa.float64()).to_numpy()
        status = (~np.isfinite(values)).astype(np.uint8)
        return np.where(status == 0, values, np.nan), status
    found = scores_of(column.to_pylist() if isinstance(column, pa.Array) else column)
    return found.scores, found.status
