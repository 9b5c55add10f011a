"""Files of every kind for the readers, and a slow oracle that reads them whole."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import Batch, FileRange, SourceFile

PACK: dict[str, Any] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}

UNPACK: dict[str, Any] = {"": bytes, ".gz": gzip.decompress, ".zst": zstd.decompress}

SETTINGS = ReadSettings()


def source(path: Path) -> SourceFile:
    """The file as it is listed."""
    (file,) = list_corpus([str(path)]).files
    return file


def write_parquet(path: Path, texts: Iterable[Any], kind: pa.DataType | None = None, rows: int = 100) -> Path:
    """A Parquet file of texts and numbers, in groups of `rows` rows."""
    column = pa.array(list(texts), kind or pa.string())
    table = pa.table({"text": column, "n": pa.array(range(len(column)))})
    pq.write_table(table, path, row_group_size=rows, write_page_checksum=True)
    return path


def texts_of(batch: Batch) -> list[str]:
    """Texts of a batch."""
    edges = batch.text_offsets.tolist()
    return [batch.text_data[a:b].tobytes().decode() for a, b in itertools.pairwise(edges)]


def read_all(
    *pieces: FileRange, settings: ReadSettings = SETTINGS, **filters: Any
) -> tuple[list[tuple[int, str]], list[int]]:
    """(position, text) of all documents of pieces, and positions of bad records."""
    documents: list[tuple[int, str]] = []
    bad: list[int] = []
    for file_range in pieces:
        for batch in read_range(file_range, settings, **filters):
            documents += zip(batch.positions.tolist(), texts_of(batch), strict=True)
            bad += [record.position for record in batch.bad]
    return documents, bad


def oracle(data: bytes) -> tuple[list[tuple[int, str]], list[int]]:
    """What `read_all` should say of JSON lines."""
    documents: list[tuple[int, str]] = []
    bad: list[int] = []
    position = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for line in data[position:].split(b"\n"):
        start, position = position, position + len(line) + 1
        if not line.strip():
            continue
        try:
            text = json.loads(line.decode())["text"]
            if not isinstance(text, str):
                raise TypeError
            text.encode()
        except (ValueError, TypeError, KeyError, RecursionError):
            bad.append(start)
        else:
            documents.append((start, text))
    return documents, bad


def lines(texts: Iterable[str]) -> bytes:
    """JSON lines of texts."""
    return b"".join(json.dumps({"id": i, "text": text}).encode() + b"\n" for i, text in enumerate(texts))


def positions(*values: int) -> np.ndarray:
    """int64 positions."""
    return np.array(values, np.int64)
