"""Parts of the benchmark corpus (`benchmarks/diverse`): texts in memory, and files of any size and format."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from benchmarks.diverse.build import Corpus, build

TARGET = Path(__file__).parents[1] / "demo" / "targets" / "speeches.jsonl"
N_FILES = 4
ROWS_AT_ONCE = 10_000

KINDS: dict[str, dict[str, Collection[str]]] = {
    "English": {"group": ("natural",), "language": ("en",)},
    "other European languages": {"language": ("de", "fr", "es", "it", "pt-br", "nl", "pl", "cs", "sv", "fi", "hu")},
    "Russian, Ukrainian, Bulgarian": {"language": ("ru", "uk", "bg")},
    "Chinese": {"language": ("zh", "zh-cn", "zh-tw")},
    "Japanese": {"language": ("ja",)},
    "Arabic, Hebrew, Hindi, Thai": {"language": ("ar", "fa", "he", "hi", "th")},
    "source code": {"group": ("code",)},
    "data": {"group": ("data",)},
    "all": {},
}
"""What documents of each kind of text have."""


def corpus(folder: Path) -> Corpus:
    """The whole benchmark corpus; made once.

    Args:
        folder: keeps it, and the packages that it is made of.
    """
    return build(folder / "diverse")


def texts(folder: Path, n_bytes: int, group: Collection[str] = (), language: Collection[str] = ()) -> list[str]:
    """Texts from the beginning of the corpus, until there are `n_bytes` or no more."""
    found = corpus(folder)
    names = {
        name
        for name, kind in found.figures["kinds"].items()
        if (not group or kind["group"] in group) and (not language or kind["language"] in language)
    }
    chosen, size = [], 0
    for record in map(json.loads, _lines(found)):
        if size >= n_bytes:
            break
        if record["kind"] in names:
            chosen.append(record["text"])
            size += len(record["text"].encode())
    return chosen


def write_corpus(folder: Path, n_bytes: int, kind: str = "jsonl") -> Path:
    """A corpus of `n_bytes` of JSON lines, or as many as there are, in a few files; made once.

    Args:
        kind: jsonl, jsonl.gz, jsonl.zst or parquet: how the files hold them.
    """
    place = folder / f"{kind}-{n_bytes}"
    if (place / "complete").exists():
        return place / "raw"
    (place / "raw").mkdir(parents=True, exist_ok=True)
    found = corpus(folder)
    lines = _lines(found)
    enough = min(n_bytes, found.path.stat().st_size) // N_FILES
    for i in range(N_FILES):
        _write(place / "raw" / f"{i}.{kind}", kind, _some(lines, enough))
    (place / "complete").touch()
    return place / "raw"


def _lines(found: Corpus) -> Iterator[bytes]:
    with found.path.open("rb") as file:
        yield from file


def _some(lines: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    """The next lines, until there are `n_bytes`."""
    size = 0
    while size < n_bytes:
        line = next(lines, None)
        if line is None:
            return
        size += len(line)
        yield line


def _write(path: Path, kind: str, lines: Iterator[bytes]) -> None:
    if kind == "parquet":
        schema = pa.schema([(name, pa.string()) for name in ("id", "kind", "language", "text")])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while rows := [json.loads(line) for line in itertools.islice(lines, ROWS_AT_ONCE)]:
                writer.write_table(pa.Table.from_pylist(rows, schema))
        return
    openers: dict[str, Callable[..., Any]] = {"jsonl": open, "jsonl.gz": gzip.open, "jsonl.zst": zstd.open}
    with openers[kind](path, "wb") as file:
        file.writelines(lines)
