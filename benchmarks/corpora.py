"""Real text of any size, made from the demo corpus: documents cut and joined anew, with a fixed seed."""

from __future__ import annotations

import gettext
import gzip
import json
import random
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

DEMO = Path(__file__).parents[1] / "demo"
TARGET = DEMO / "targets" / "speeches.jsonl"
N_FILES = 4

KINDS = {
    "English": ("novels", "speeches", "bible"),
    "source code": ("go_code", "rust_code"),
    "Chinese": ("tang_poetry",),
    "mixed": (),
}


def demo_texts(kinds: tuple[str, ...] = ()) -> list[str]:
    """Texts of the demo's raw corpus, of some kinds or of all."""
    domain = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    return [record["text"] for record in _records() if not kinds or domain[record["id"]] in kinds]


def arabic_texts() -> list[str]:
    """The Arabic messages of an installed package, shuffled into documents: real words, few of them."""
    with (resources.files("humanize") / "locale" / "ar" / "LC_MESSAGES" / "humanize.mo").open("rb") as file:
        catalog: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    words = sorted(
        {word for text in catalog.values() for word in text.split() if word.isalpha() and ord(word[0]) > 0x600}
    )
    rng = random.Random(0)
    return [" ".join(rng.choices(words, k=400)) for _ in range(300)]


def documents(n_bytes: int, texts: list[str], seed: int = 0) -> Iterator[str]:
    """Documents of about 4 kB, each a text with the end of another behind it, until there are `n_bytes`."""
    rng = random.Random(seed)
    done = 0
    while done < n_bytes:
        text, other = rng.choice(texts), rng.choice(texts)
        document = f"{text}\n{other[rng.randrange(len(other)) :]}"
        done += len(document.encode())
        yield document


def write_corpus(folder: Path, n_bytes: int, kind: str = "jsonl") -> Path:
    """A corpus of `n_bytes` of text in a few files; made once.

    Args:
        kind: jsonl, jsonl.gz, jsonl.zst or parquet.
    """
    folder = folder / f"{kind}-{n_bytes}"
    if (folder / "complete").exists():
        return folder / "raw"
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    texts = demo_texts()
    for i in range(N_FILES):
        _write(folder / "raw" / f"{i}.{kind}", kind, i, documents(n_bytes // N_FILES, texts, seed=i))
    (folder / "complete").touch()
    return folder / "raw"


def _write(path: Path, kind: str, index: int, texts: Iterator[str]) -> None:
    if kind == "parquet":
        schema = pa.schema([("id", pa.string()), ("text", pa.string())])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            rows = [{"id": f"{index}-{i}", "text": text} for i, text in enumerate(texts)]
            for start in range(0, len(rows), 10_000):
                writer.write_table(pa.Table.from_pylist(rows[start : start + 10_000], schema))
        return
    openers: dict[str, Callable[..., Any]] = {"jsonl": open, "jsonl.gz": gzip.open, "jsonl.zst": zstd.open}
    with openers[kind](path, "wb") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"id": f"{index}-{i}", "text": text}, ensure_ascii=False).encode() + b"\n")


def _records() -> Iterator[dict[str, Any]]:
    for path in sorted((DEMO / "raw").iterdir()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            yield from pq.read_table(path).to_pylist()
            continue
        unpack = {".gz": gzip.decompress, ".zst": zstd.decompress}.get(path.suffix, bytes)
        for line in unpack(data).splitlines():
            yield json.loads(line)
