"""Samples stand for their corpora: exact where all was read, else a range that holds the truth."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.tally import Tally
from dsir_core.forecasting.estimates import Estimate, estimate
from dsir_core.forecasting.probe import PROBE_BYTES, Read, probes_of, read_probe, stored_by_kind
from dsir_core.forecasting.samples import Sampled
from tests.forecasting.conftest import Plan
from tests.integration.conftest import DEMO, demo_records

SPEECHES = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}
COPIES = 4


def test_a_corpus_that_is_read_whole_is_told_exactly(plan: Plan) -> None:
    found = plan(raw=str(DEMO / "raw"), target=SPEECHES, count=70)
    assert found.raw.documents == Estimate(2_730, 2_730, 2_730)
    assert found.raw.tokens is not None
    assert found.raw.tokens.is_exact
    assert found.targets["speeches"].documents == Estimate(60, 60, 60)


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """Twelve megabytes, half as much again as is read of them, in an order of no kind."""
    found = demo_records() * COPIES
    random.Random(1).shuffle(found)
    return found


@pytest.fixture(scope="module")
def files(records: list[dict[str, Any]]) -> list[bytes]:
    """The records as JSON lines, in three parts."""
    return ["".join(json.dumps(record) + "\n" for record in records[i::3]).encode() for i in range(3)]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "jsonl": bytes,
    "jsonl.gz": partial(gzip.compress, compresslevel=1),
    "jsonl.zst": zstd.compress,
    "jsonl.bz2": partial(bz2.compress, compresslevel=1),
    "jsonl.xz": partial(lzma.compress, preset=0),  # the default takes twenty times as long
}


@pytest.mark.parametrize("kind", [*PACK, "parquet"])
def test_the_range_holds_the_truth(
    plan: Plan, tmp_path: Path, records: list[dict[str, Any]], files: list[bytes], kind: str
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i, lines in enumerate(files):
        path = folder / f"{i}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(records[i::3]), path, row_group_size=1_000)
        else:
            path.write_bytes(PACK[kind](lines))
    found = plan(raw=str(folder), target=SPEECHES, count=70)
    assert found.raw.documents is not None
    assert found.raw.tokens is not None
    # 1,661,895 is what a run over the demo counts.
    for figure, truth in ((found.raw.documents, 2_730 * COPIES), (found.raw.tokens, 1_661_895 * COPIES)):
        assert figure.low <= truth <= figure.high
        assert figure.high - figure.low < truth


@settings(max_examples=settings().max_examples // 2)  # each writes up to forty files
@given(
    sizes=st.lists(st.integers(0, 3 * PROBE_BYTES), min_size=1, max_size=40),
    shard_bytes=st.sampled_from([PROBE_BYTES // 2, 2 * PROBE_BYTES, 2**27]),
    n_probes=st.sampled_from([1, 4, 32]),
)
def test_no_byte_is_probed_twice(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], shard_bytes: int, n_probes: int
) -> None:
    folder = tmp_path_factory.mktemp("raw")
    for i, size in enumerate(sizes):
        (folder / f"{i:02d}.jsonl").write_bytes(b"\n" * size)
    shards = plan_shards(list_corpus((str(folder),)).files, shard_bytes)
    probes = probes_of(shards, n_probes)
    stored = stored_by_kind(shards)["jsonl"]
    assert stored == sum(sizes)
    ranges = sorted(
        (
            p.file_range.file.path,
            p.file_range.start,
            p.file_range.file.size if p.file_range.stop < 0 else p.file_range.stop,
        )
        for p in probes
    )
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in itertools.pairwise(ranges))
    assert sum(stop - start for _, start, stop in ranges) == sum(p.n_stored for p in probes) <= stored


def test_documents_longer_than_a_probe_are_counted_by_where_they_begin(plan: Plan, tmp_path: Path) -> None:
    text = "word " * (PROBE_BYTES // 2)  # a record of two and a half probes
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for _ in range(60)))
    found = plan(raw=str(tmp_path / "raw.jsonl"), target=SPEECHES, count=7)
    assert found.raw.documents is not None
    assert found.raw.documents.low <= 60 <= found.raw.documents.high


def test_estimates_add_up_over_kinds_and_are_exact_only_where_all_was_read() -> None:
    reads = [Read("jsonl", 100, documents=10), Read("jsonl", 100, documents=30), Read("parquet", 50, documents=5)]
    found = estimate({"jsonl": 400, "parquet": 50}, reads, lambda read: read.documents)
    assert found.value == 400 * 40 / 200 + 5
    assert 45 <= found.low < found.value < found.high
    whole = estimate({"jsonl": 200, "parquet": 50}, reads, lambda read: read.documents)
    assert whole == Estimate(45, 45, 45)


def test_what_a_sample_lacks_may_be_there_all_the_same() -> None:
    reads = [Read("jsonl", 100, documents=50) for _ in range(10)]
    found = estimate({"jsonl": 100_000}, reads, lambda read: read.eligible)
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(300, rel=0.01))
    assert not found.is_exact
    assert not estimate({"jsonl": 100_000}, reads, lambda read: read.documents).is_exact
    assert estimate({"jsonl": 1_000}, reads, lambda read: read.eligible) == Estimate(0, 0, 0)


def test_a_single_place_gives_a_wide_range() -> None:
    found = estimate({"a": 1000}, [Read("a", 100, documents=10)], lambda read: read.documents)
    assert (found.value, found.low < 60, found.high > 140) == (100, True, True)


def test_pieces_of_documents_are_the_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one two three four five"}) + "\n")
    shards = plan_shards(list_corpus((str(tmp_path / "a.jsonl"),)).files)
    (probe,) = probes_of(shards)
    *_, (_, read) = read_probe(probe, ReadSettings(chunk=Chunking(words=2)))
    assert read.documents == 3


def test_figures_of_a_sample_sum_over_its_places() -> None:
    sampled = Sampled(
        {}, [Read("a", 1, documents=2, bad=1), Read("a", 1, documents=3)], Tally(), np.zeros(1, np.int64), None
    )  # type: ignore[arg-type]
    assert (sampled.total("documents"), sampled.total("bad")) == (5, 1)
