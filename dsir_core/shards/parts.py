"""Output files: chosen records gathered from shards' extracts into parts of a useful size.

JSONL records become lines of `part-*.jsonl[.gz|.zst]` byte for byte; Parquet rows become rows of `part-*.parquet` with
all their columns. A corpus of both kinds gives both kinds of parts.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.store import CHUNK_BYTES, Store, stream_digest
from dsir_core.runtime.cancellation import check_cancelled

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EXTRACT_BYTES = 256 * 2**20
"""Uncompressed bytes after which an extract begins a new file, so that parts can be cut there."""

PART_BYTES = 256 * 2**20
"""Uncompressed bytes after which a part ends."""

ROW_GROUP_BYTES = 64 * 2**20

PartCompression = Literal["none", "gzip", "zstd"]
SUFFIXES: dict[PartCompression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True, slots=True)
class ExtractFile:
    """A file of chosen records in the store: zstd-compressed JSON lines, or Parquet."""

    name: str
    kind: str
    """`jsonl`, or `parquet-` and a digest of the schema: only files of one kind share a part."""
    documents: int
    n_bytes: int
    """Uncompressed."""
    sha256: str
    """Of the file as stored."""

    def is_whole(self, store: Store) -> bool:
        """Whether the file is there, as it was written."""
        if not store.exists(self.name):
            return False
        with store.open(self.name) as stream:
            return stream_digest(stream) == self.sha256


class ExtractWriter:
    """Writes chosen records, in order, to numbered files that begin anew at a change of kind or at a size."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.files: list[ExtractFile] = []
        self._open: ExitStack | None = None
        self._sink: Any = None
        self._kind = ""
        self._documents = 0
        self._bytes = 0
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0

    def __enter__(self) -> ExtractWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._finish()
        elif self._open is not None:
            self._open.__exit__(kind, error, trace)

    def add(self, records: list[bytes] | pa.Table) -> None:
        """Append the records of a batch."""
        kind = "jsonl" if isinstance(records, list) else _parquet_kind(records.schema)
        if self._open is not None and (kind != self._kind or self._bytes >= EXTRACT_BYTES):
            self._finish()
        if self._open is None:
            self._begin(kind, records)
        self._documents += len(records)
        if isinstance(records, list):
            lines = b"\n".join([*records, b""])
            self._sink.write(lines)
            self._bytes += len(lines)
            return
        self._waiting.append(records)
        self._waiting_bytes += records.nbytes
        self._bytes += records.nbytes
        if self._waiting_bytes >= ROW_GROUP_BYTES:
            self._flush_rows()

    def _begin(self, kind: str, records: list[bytes] | pa.Table) -> None:
        self._open, self._kind, self._documents, self._bytes = ExitStack(), kind, 0, 0
        stream = self._open.enter_context(self._store.writer(self._file_name(), durable=False))
        if isinstance(records, list):
            self._sink = self._open.enter_context(_zstd_writer(stream, level=1))
        else:
            self._sink = self._open.enter_context(_parquet_writer(stream, records.schema))

    def _finish(self) -> None:
        if self._open is None:
            return
        self._flush_rows()
        name = self._file_name()
        self._open.close()
        self._open = None
        with self._store.open(name) as stream:
            sha256 = stream_digest(stream)
        self.files.append(ExtractFile(name, self._kind, self._documents, self._bytes, sha256))

    def _flush_rows(self) -> None:
        if self._waiting:
            self._sink.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._waiting_bytes = [], 0

    def _file_name(self) -> str:
        return f"{self._name}-{len(self.files):03d}" + (".jsonl.zst" if self._kind == "jsonl" else ".parquet")


@dataclass(frozen=True)
class PartTask:
    """One output part to be gathered from extracts."""

    workdir: str
    output: str
    name: str
    compression: PartCompression
    extracts: tuple[ExtractFile, ...]


@dataclass(frozen=True)
class PartResult:
    """A finished output part."""

    name: str
    documents: int
    n_bytes: int
    """As stored."""


def plan_parts(
    extracts: Sequence[ExtractFile], compression: PartCompression
) -> list[tuple[str, tuple[ExtractFile, ...]]]:
    """Cut the extracts, in order, into named parts: one kind each, ended by the first that reaches `PART_BYTES`."""
    groups: list[list[ExtractFile]] = []
    full = True
    for extract in extracts:
        if full or groups[-1][0].kind != extract.kind:
            groups.append([])
        groups[-1].append(extract)
        full = sum(file.n_bytes for file in groups[-1]) >= PART_BYTES
    parts = []
    for index, group in enumerate(groups):
        suffix = ".jsonl" + SUFFIXES[compression] if group[0].kind == "jsonl" else ".parquet"
        parts.append((f"part-{index:05d}{suffix}", tuple(group)))
    return parts


def write_part(task: PartTask) -> PartResult:
    """Gather extracts into one output part; it appears under its name when it is complete."""
    source, target = Store(task.workdir), Store(task.output)
    with target.writer(task.name) as stream:
        if task.extracts[0].kind == "jsonl":
            _gather_lines(source, task, stream)
        else:
            _gather_rows(source, task, stream)
        stream.flush()
        n_bytes = stream.seek(0, 2)
    return PartResult(task.name, sum(file.documents for file in task.extracts), n_bytes)


def _gather_lines(source: Store, task: PartTask, stream: IO[bytes]) -> None:
    # One frame or member a part: some widely used readers stop silently after the first of several.
    with ExitStack() as stack:
        sink = stream
        if task.compression == "zstd":
            sink = stack.enter_context(_zstd_writer(stream, level=3))
        elif task.compression == "gzip":
            packed = gzip.GzipFile("", "wb", 6, stream, mtime=0)
            sink = cast(IO[bytes], stack.enter_context(packed))
        for extract in task.extracts:
            with source.open(extract.name) as raw, zstd.ZstdFile(raw) as lines:
                while chunk := lines.read(CHUNK_BYTES):
                    check_cancelled()
                    sink.write(chunk)


def _gather_rows(source: Store, task: PartTask, stream: IO[bytes]) -> None:
    writer: pq.ParquetWriter | None = None
    with ExitStack() as stack:
        for extract in task.extracts:
            with source.open(extract.name) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
                writer = writer or stack.enter_context(_parquet_writer(stream, file.schema_arrow))
                for group in range(file.num_row_groups):
                    check_cancelled()
                    writer.write_table(file.read_row_group(group))


def _zstd_writer(stream: IO[bytes], level: int) -> Any:
    options = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return zstd.ZstdFile(cast(Any, stream), "wb", options=cast(Any, options))


def _parquet_writer(stream: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True)


def _parquet_kind(schema: pa.Schema) -> str:
    return "parquet-" + hashlib.sha256(schema.serialize().to_pybytes()).hexdigest()[:16]
