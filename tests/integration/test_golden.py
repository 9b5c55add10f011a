"""The same bytes as ever: selections, models, weights and parts of fixed configurations, against recorded digests.

A change of these digests is a change of what users get from the same request, and is said in the commit. To
record them again on purpose: `python -m tests.integration.test_golden`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from dsir_core.config.request import parse_config
from dsir_core.config.settings import DEFAULT_SMOOTHING
from dsir_core.pipeline import select
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.run import Run
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tests.integration.conftest import DEMO, demo_records

GOLDEN = Path(__file__).with_name("golden.json")

SPEECHES = {"speeches": [str(DEMO / "targets" / "speeches.jsonl")]}
BOTH = {**SPEECHES, "go": [str(DEMO / "targets" / "go_code.jsonl")]}

PLAIN = {"smoothing": 0.0, "tokenizer": "wordpunct", "length_normalise": "none"}

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "defaults": {"count": 70, "smoothing": DEFAULT_SMOOTHING, "tokenizer": "unicode", "length_normalise": "tokens"},
    "auto": {"count": 70, "smoothing": "auto", "length_normalise": "auto", "target": BOTH, "separate": True},
    "xxh3": {"count": 100},
    "sha256": {"count": 100, "hash": "sha256"},
    "top-k": {"count": 80, "method": "top-k", "buckets": 5000, "ngrams": 3},
    "random": {"fraction": 0.05, "method": "random", "seed": 7},
    "heuristic": {"count": 60, "method": "heuristic"},
    "heuristic-top-k": {"count": 60, "method": "heuristic-top-k", "ngrams": 1, "buckets": 1000},
    "chunk": {"count": 150, "chunk": {"words": 128}, "min_tokens": 50},
    "whole-documents": {
        "count": 50,
        "chunk": {"words": 128},
        "whole_documents": True,
        "target": BOTH,
        "separate": True,
    },
    "quotas-raw": {"count": 120, "strata": "kind", "quotas": "raw"},
    "quotas-named": {"count": 90, "strata": "kind", "quotas": {"speeches": 2, "bible": 1}},
    "external-table": {"count": 70, "weights": {"column": "score", "table": "TABLE", "key": "id"}},
    "external-column": {"count": 70, "weights": {"column": "score", "ngram": 0.5, "external": 3.0}},
    "separate": {"count": 100, "target": BOTH, "separate": True, "proportions": {"speeches": 0.25, "go": 0.75}},
    "match": {"count": 100, "target": BOTH, "match": True},
    "smoothed": {"count": 70, "smoothing": "auto", "tokenizer": "unicode", "length_normalise": "sqrt", "seed": 3},
    "tokens": {"tokens": 30_000, "temperature": 50.0, "fit_ngrams": 200_000, "min_tokens": 20},
    "target-ess": {"count": 70, "target_ess": 0.05, "length_normalise": "tokens", "include": "score > -1"},
    "parts": {"count": 200, "compression": "zstd", "shard_bytes": 150_000},
}
"""What differs from the pool, the speeches, and `PLAIN`."""


def write_pool(folder: Path) -> None:
    """The demo's records with a stratum and a score, as JSONL, gzip, zstd and Parquet; and a table of scores."""
    labels = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    rng = random.Random(0)
    records = [{**r, "kind": labels[r["id"]], "score": rng.gauss(0, 3)} for r in demo_records()]
    (folder / "raw").mkdir()
    for part, (name, pack) in enumerate(
        (("0.jsonl", bytes), ("1.jsonl.gz", lambda b: gzip.compress(b, mtime=0)), ("2.jsonl.zst", zstd.compress))
    ):
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records[part::4])
        (folder / "raw" / name).write_bytes(pack(lines.encode()))
    pq.write_table(pa.Table.from_pylist(records[3::4]), folder / "raw" / "3.parquet", row_group_size=200)
    pq.write_table(pa.table({name: [r[name] for r in records] for name in ("id", "score")}), folder / "scores.parquet")


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    write_pool(folder)
    return folder


@pytest.fixture(scope="module")
def dask() -> Iterator[Executor]:
    with local_cluster(2, processes=False) as client:
        yield DaskExecutor(client)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(GOLDEN.read_text())
    return recorded


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_inline(name: str, pool_folder: Path, golden: dict[str, Any], tmp_path: Path) -> None:
    assert digests(name, pool_folder, tmp_path, InlineExecutor()) == golden[name]


@pytest.mark.long
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_dask(name: str, pool_folder: Path, golden: dict[str, Any], tmp_path: Path, dask: Executor) -> None:
    assert digests(name, pool_folder, tmp_path, dask) == golden[name]


def digests(name: str, folder: Path, work: Path, executor: Executor) -> dict[str, Any]:
    """Run a configuration; what stands in its output and its workdir, as short digests."""
    settings = {
        "raw": [str(folder / "raw")],
        "target": SPEECHES,
        "shard_bytes": 400_000,
        **PLAIN,
        "output": str(work / "output"),
        "workdir": str(work / "workdir"),
        **CONFIGURATIONS[name],
    }
    if settings.get("weights", {}).get("table"):
        settings["weights"] = {**settings["weights"], "table": str(folder / "scores.parquet")}
    report = select(Run(parse_config(settings), executor))
    selected = pq.read_table(work / "output" / "selected.parquet")
    return {
        "selection": report["selection_digest"],
        "selected": _table(selected),
        "models": sorted(_arrays(path) for path in (work / "workdir" / "model").glob("*.npz")),
        "weights": _table(_weights(work / "workdir")),
        "parts": {path.name: _part(path) for path in sorted((work / "output").glob("part-*"))},
    }


def _part(path: Path) -> str:
    """A digest of a file of the output: of its bytes, or of the records where Arrow's version decides the bytes."""
    if path.suffix != ".parquet":
        return _short(path.read_bytes())
    table = pq.read_table(path)
    return _short(repr((table.schema.names, table.to_pylist())).encode())


def _weights(workdir: Path) -> pa.Table:
    tables = [_plain(pq.read_table(path)) for path in sorted((workdir / "weights").glob("*.parquet"))]
    keys = [name for name in ("file", "position", "offset") if name in tables[0].column_names]
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in keys])


def _plain(table: pa.Table) -> pa.Table:
    """The same table without dictionary encoding."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table


def _table(table: pa.Table) -> str:
    """A digest of names, types and values; not of how Parquet packs them."""
    table = _plain(table)
    digest = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for column in table.columns:
        plain = column.combine_chunks()
        if pa.types.is_string(plain.type):
            digest.update("\0".join(map(str, plain.to_pylist())).encode())
        else:
            digest.update(np.ascontiguousarray(plain.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()[:16]


def _arrays(path: Path) -> str:
    with np.load(path, allow_pickle=False) as arrays:
        return _short(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays)))


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def record() -> None:
    """Write golden.json anew."""
    with tempfile.TemporaryDirectory() as folder:
        write_pool(Path(folder))
        found = {}
        for name in CONFIGURATIONS:
            with tempfile.TemporaryDirectory() as work:
                found[name] = digests(name, Path(folder), Path(work), InlineExecutor())
            print(name, found[name]["selection"][:16], file=sys.stderr)
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
