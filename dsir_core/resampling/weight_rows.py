"""Documents of a shard as NumPy columns, from its weights file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.store import Store
from dsir_core.model.noise import document_bits, gumbel, uniform
from dsir_core.resampling.weights_schema import COPY, OFFSET, STRATUM
from dsir_core.runtime.cancellation import check_cancelled

READ_ROWS = 1 << 18


@dataclass(frozen=True)
class Rows:
    """Documents of a shard, in order of (file, position)."""

    file_codes: npt.NDArray[np.int32]
    files: list[str]
    positions: npt.NDArray[np.int64]
    n_tokens: npt.NDArray[np.int32]
    log_weights: dict[str, npt.NDArray[np.float64]]
    """By column of the weights file."""
    stratum_codes: npt.NDArray[np.int32] | None = None
    strata: tuple[str, ...] = ()
    offsets: npt.NDArray[np.int64] | None = None
    """Where each chunk begins in its document's text, when documents are cut into chunks."""
    copies: npt.NDArray[np.int8] | None = None
    """int8[n], above 0 for documents that are left out as copies, where these are marked."""

    def __len__(self) -> int:
        return len(self.positions)

    def noise(self, seed: int, target: int) -> npt.NDArray[np.float64]:
        """Gumbel noise of each document for one target: float64[n]."""
        return self._by_file(lambda positions, path, offsets: gumbel(positions, seed, target, path, offsets))

    def uniform(self, stream: str, seed: int, target: int) -> npt.NDArray[np.float64]:
        """Uniform noise of each document for one target, of a stream: float64[n] between 0 and 1."""
        return self._by_file(
            lambda positions, path, offsets: uniform(document_bits(positions, path, offsets, stream, seed, target))
        )

    def _by_file(
        self,
        noise_of: Callable[[npt.NDArray[np.int64], str, npt.NDArray[np.int64] | None], npt.NDArray[np.float64]],
    ) -> npt.NDArray[np.float64]:
        noise = np.empty(len(self), np.float64)
        edges = np.flatnonzero(np.diff(self.file_codes, prepend=-1, append=-1))
        for start, stop in itertools.pairwise(edges):
            path = self.files[self.file_codes[start]]
            offsets = None if self.offsets is None else self.offsets[start:stop]
            noise[start:stop] = noise_of(self.positions[start:stop], path, offsets)
        return noise

    def in_stratum(self, name: str) -> npt.NDArray[np.bool_]:
        """bool[n]: documents of a stratum."""
        if self.stratum_codes is None or name not in self.strata:
            return np.zeros(len(self), bool)
        return np.equal(self.stratum_codes, self.strata.index(name))


def by_stratum(rows: Rows, mask: npt.NDArray[np.bool_]) -> list[tuple[str, int, int]]:
    """Of the documents of bool[n], for each stratum its name, documents and tokens."""
    if rows.stratum_codes is None or not len(rows):
        return []
    codes, size = rows.stratum_codes[mask], len(rows.strata)
    documents = np.bincount(codes, minlength=size).tolist()
    # float64 sums of tokens are exact far beyond 2^50 of them.
    tokens = np.bincount(codes, weights=rows.n_tokens[mask], minlength=size).astype(np.int64).tolist()
    return list(zip(rows.strata, documents, tokens, strict=True))


def read_rows(store: Store, name: str, columns: tuple[str, ...]) -> Iterator[Rows]:
    """Rows of a weights file, a bounded number at a time.

    Args:
        columns: which columns of log weights and log odds to read.
    """
    with store.open(name) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
        more = [column for column in (OFFSET, STRATUM, COPY) if column in file.schema_arrow.names]
        wanted = ["file", "position", "n_tokens", *columns, *more]
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=wanted):
            check_cancelled()
            yield rows_of(batch, columns)


def rows_of(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Rows:
    """NumPy columns of a record batch of weights."""
    files = batch.column("file")
    strata = batch.column(STRATUM) if STRATUM in batch.schema.names else None
    return Rows(
        files.indices.to_numpy(zero_copy_only=False),
        files.dictionary.to_pylist(),
        batch.column("position").to_numpy(),
        batch.column("n_tokens").to_numpy(),
        {column: batch.column(column).to_numpy() for column in columns},
        strata.indices.to_numpy(zero_copy_only=False) if strata is not None else None,
        tuple(strata.dictionary.to_pylist()) if strata is not None else (),
        batch.column(OFFSET).to_numpy() if OFFSET in batch.schema.names else None,
        batch.column(COPY).to_numpy() if COPY in batch.schema.names else None,
    )
