"""Fuzzing of files of every format: read in one piece or in several, or refused."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.errors import DamagedFileError, RequestError
from tests.corpus.files import PACK, lines, read_all

SETTINGS = ReadSettings(max_record_bytes=2**20)


def check_file(suffix: str) -> Callable[[bytes], bool]:
    """A file is read whole, or named as damaged; read in one shard and in several it says the same."""

    def check(data: bytes) -> bool:
        path = folder() / f"a{suffix}"
        path.write_bytes(data)
        try:
            corpus = list_corpus([str(path)])
            once = [read_all(*shard.ranges, settings=SETTINGS) for shard in plan_shards(corpus.files, 2**30)]
            cut = [read_all(*shard.ranges, settings=SETTINGS) for shard in plan_shards(corpus.files, 1024)]
        except (DamagedFileError, RequestError) as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert f"a{suffix}" in refused, refused
            return False
        assert _joined(once) == _joined(cut)
        return True

    return check


def _joined(found: list[tuple[list[Any], list[int]]]) -> tuple[list[Any], list[int]]:
    return sorted(one for documents, _ in found for one in documents), sorted(one for _, bad in found for one in bad)


@cache
def folder() -> Path:
    """Where files of this process are written to, in memory where that is possible."""
    base = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="dsir-fuzz-", dir=base if base.is_dir() else None))


TEXTS = [f"document {i} of some é words, and more" for i in range(40)]


def packed_seeds(suffix: str) -> Callable[[], list[bytes]]:
    """JSON lines in a codec: one member, two, and none."""
    return lambda: [PACK[suffix](lines(TEXTS)), PACK[suffix](lines(TEXTS[:2])) * 2, PACK[suffix](b"")]


def _table() -> pa.Table:
    return pa.table({"text": [*TEXTS[:-1], None], "n": list(range(len(TEXTS))), "tags": [["a", "b"]] * len(TEXTS)})


def parquet_seeds() -> list[bytes]:
    """Parquet in several encodings."""

    def written(**options: Any) -> bytes:
        buffer = pa.BufferOutputStream()
        pq.write_table(_table(), buffer, row_group_size=15, **options)
        return buffer.getvalue().to_pybytes()

    return [
        written(),
        written(compression="zstd", write_page_checksum=True, data_page_version="2.0"),
        written(compression="none", use_dictionary=False),
    ]


def arrow_seeds() -> list[bytes]:
    """Arrow files and streams."""
    feather, stream = io.BytesIO(), pa.BufferOutputStream()
    pyarrow.feather.write_feather(_table(), feather, compression="zstd", chunksize=15)
    with pa.ipc.new_file(plain := pa.BufferOutputStream(), _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=15)
    with pa.ipc.new_stream(stream, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=15)
    return [feather.getvalue(), plain.getvalue().to_pybytes(), stream.getvalue().to_pybytes()]


def csv_seeds() -> list[bytes]:
    """CSV with and without quotes."""
    plain, quoted = io.StringIO(), io.StringIO()
    rows = [["id", "text"], *([str(i), text] for i, text in enumerate(TEXTS)), ["x", 'a "b"\nc, d']]
    csv.writer(plain).writerows(rows)
    csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return [plain.getvalue().encode(), quoted.getvalue().encode(), b"\xef\xbb\xbftext\r\nx\r\n", b"text\n"]
