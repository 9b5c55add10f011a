"""The columns of a weights file.

Columns: `file` (path relative to the corpus root), `position` (int64), `n_tokens` (int32), and `log_weight` (float64),
or one column `log_weight.NAME` for each of several separate targets; `log_odds`, or `log_odds.NAME`, by a classifier,
where there is one; `stratum`, where strata are asked for; `offset` of chunks of documents; `text_hash`, where copies
are looked for, and in its place `copy` once they are marked. Rows are in order of (file, position, offset). A log
weight is NaN where the score is missing that it should be made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsir_core.corpus.fields import stratum_of

STRATUM = "stratum"
OFFSET = "offset"
TEXT_HASH = "text_hash"
COPY = "copy"
"""Of a mark: `resampling.copies.COPY`, `IN_TARGET`, or 0."""
FILE_TYPE = pa.dictionary(pa.int32(), pa.string())


def weight_columns(selectors: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the log-weight columns for the targets that select."""
    return ("log_weight",) if len(selectors) == 1 else tuple(f"log_weight.{name}" for name in selectors)


def odds_column(column: str) -> str:
    """Name of the column of log odds that belongs to a log-weight column."""
    return "log_odds" + column.removeprefix("log_weight")


def weights_batch(
    selectors: tuple[str, ...],
    path: str,
    positions: npt.NDArray[np.int64],
    n_tokens: npt.NDArray[np.int32],
    log_weights: npt.NDArray[np.float64],
    log_odds: npt.NDArray[np.float64] | None = None,
    strata: pa.DictionaryArray | None = None,
    offsets: npt.NDArray[np.int64] | None = None,
    hashes: npt.NDArray[np.uint64] | None = None,
) -> pa.RecordBatch:
    """Rows of weights of documents of one file.

    Args:
        path: of the file, relative to the corpus root.
        positions: int64[n]. n_tokens: int32[n]. log_weights, log_odds: float64[n, len(selectors)].
        strata: string[n] by dictionary. offsets: int64[n] of chunks in their documents. hashes: uint64[n, 2] of texts.
    """
    file = pa.DictionaryArray.from_arrays(np.zeros(len(positions), np.int32), [path])
    columns = [file, pa.array(positions), pa.array(n_tokens)]
    columns += [pa.array(np.ascontiguousarray(log_weights[:, i])) for i in range(len(selectors))]
    if log_odds is not None:
        columns += [pa.array(np.ascontiguousarray(log_odds[:, i])) for i in range(len(selectors))]
    columns += [strata] if strata is not None else []
    columns += [pa.array(offsets)] if offsets is not None else []
    columns += [_hash_array(hashes)] if hashes is not None else []
    schema = weights_schema(
        selectors,
        odds=log_odds is not None,
        strata=strata is not None,
        offsets=offsets is not None,
        hashes=hashes is not None,
    )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def weights_schema(
    selectors: tuple[str, ...],
    *,
    odds: bool = False,
    strata: bool = False,
    offsets: bool = False,
    hashes: bool = False,
) -> pa.Schema:
    """Schema of a weights file."""
    columns = [("file", FILE_TYPE), ("position", pa.int64()), ("n_tokens", pa.int32())]
    columns += [(column, pa.float64()) for column in weight_columns(selectors)]
    columns += [(odds_column(column), pa.float64()) for column in weight_columns(selectors)] if odds else []
    columns += [(STRATUM, FILE_TYPE)] if strata else []
    columns += [(OFFSET, pa.int64())] if offsets else []
    columns += [(TEXT_HASH, pa.binary(16))] if hashes else []
    return pa.schema(columns)


def _hash_array(hashes: npt.NDArray[np.uint64]) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hashes), [None, pa.py_buffer(hashes.tobytes())])


def hashes_of(column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """uint64[n, 2] of a column of hashes."""
    words = np.frombuffer(column.buffers()[1], "<u8").reshape(-1, 2)
    return words[column.offset : column.offset + len(column)]


def stratum_names(values: Sequence[Any]) -> pa.DictionaryArray:
    """Strata by the values of a field."""
    return pa.array([stratum_of(value) for value in values], pa.string()).dictionary_encode()


def gather_rows(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Join record batches to tables of at least `rows` rows (the last may have fewer)."""
    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        waiting.append(batch)
        n_waiting += batch.num_rows
        if n_waiting >= rows:
            yield pa.Table.from_batches(waiting, schema).unify_dictionaries().combine_chunks()
            waiting, n_waiting = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema).unify_dictionaries().combine_chunks()
