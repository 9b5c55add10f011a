"""Tables of scores by key: Parquet files, or JSON lines, read a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.formats.jsonl import read_line_blocks
from dsir_core.corpus.formats.parquet import damage
from dsir_core.corpus.formats.parquet_columns import column_of, type_of, values_of
from dsir_core.corpus.source import damaged, decompressed, open_source
from dsir_core.corpus.types import WHOLE, SourceFile
from dsir_core.errors import RequestError
from dsir_core.external.keys import key_strings
from dsir_core.external.scores import scores_of

ROWS = 1 << 20
MAX_LINE_BYTES = 2**24


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
        RequestError: a Parquet file has no such column.
    """
    for file in files:
        yield from _parquet(file, key, column) if file.format == "parquet" else _jsonl(file, key, column)


def _parquet(file: SourceFile, key: str, column: str) -> Iterator[TableRows]:
    with open_source(file) as source, damage(file, source):
        opened = pq.ParquetFile(source, page_checksum_verification=True)
        kinds = [type_of(file, opened.schema_arrow, name) for name in (key, column)]
        batches = opened.iter_batches(ROWS, columns=[key, column])
        while (batch := next(batches, None)) is not None:
            table = pa.Table.from_batches([batch])
            keys, scores = column_of(table, key), column_of(table, column)
            if pa.types.is_integer(kinds[0]) or pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type):
                there = keys.is_valid().to_numpy(zero_copy_only=False)
                yield _rows(keys.cast(pa.large_string()).fill_null(""), there, scores)
            else:
                yield _rows(*key_strings(values_of(table, key)), scores)


def _rows(keys: Any, there: npt.NDArray[np.bool_], scores: Any) -> TableRows:
    if pa.types.is_floating(scores.type) and not scores.null_count:
        values = scores.cast(pa.float64()).to_numpy()
        status = (~np.isfinite(values)).astype(np.uint8)
        values = np.where(status == 0, values, np.nan)
    else:
        found = scores_of(scores.to_pylist())
        values, status = found.scores, found.status
    return TableRows(keys.filter(pa.array(there)), values[there], status[there])


def _jsonl(file: SourceFile, key: str, column: str) -> Iterator[TableRows]:
    decode = field_decoder((key, column))
    with open_source(file, file.size) as source, decompressed(file, source) as stream:
        for chunk in read_line_blocks(stream, 0, WHOLE, MAX_LINE_BYTES):
            values = []
            position = chunk.position
            for line in chunk.data.split(b"\n"):
                if line.strip():
                    row = decode(line)
                    if row is None:
                        raise damaged(file, f"no JSON object at {position}")
                    values.append(row)
                position += len(line) + 1
            if chunk.too_large:
                raise RequestError(f"{file.path}: a row of more than {MAX_LINE_BYTES:,} bytes at {chunk.position}")
            keys, there = key_strings([row[0] for row in values])
            found = scores_of([row[1] for row in values])
            yield TableRows(keys.filter(pa.array(there)), found.scores[there], found.status[there])
