"""A sample of documents is the one with the smallest hashes, whatever shards the corpus is read in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.types import FileRange, Shard
from dsir_core.features import count_ngrams
from dsir_core.model.compact_sample import BottomKSample, Bound, SparseDocuments
from dsir_core.model.noise import document_bits
from dsir_core.shards.count import BlockSample
from dsir_core.shards.sample_documents import GatherTask, gather_shard
from tests.features.texts import buffers
from tests.shards.weighed import LINES, POSITIONS, write_shard

FEATURES = FeatureSettings(buckets=100)


def gather(folder: Path, shard: Shard, bound: Bound) -> SparseDocuments:
    task = GatherTask(str(folder), shard, ReadSettings(), FEATURES, "raw", BlockSample(1.0), 1.0, bound)
    first, again = gather_shard(task), gather_shard(task)
    assert (first.reused, again.reused, again.receipt, again.tally) == (False, True, first.receipt, first.tally)
    return SparseDocuments.from_bytes(Store(str(folder)).read(first.receipt.name))


@pytest.mark.parametrize("documents", [1, 5, 100])
def test_the_documents_with_the_smallest_hashes_are_found(tmp_path: Path, documents: int) -> None:
    bound = Bound(documents, 10**6)
    found = gather(tmp_path / "work", write_shard(tmp_path), bound).smallest(bound)
    order = document_bits(POSITIONS, "raw.jsonl", None, "documents", "raw")
    expected = np.argsort(order)[:documents]
    assert found.order.tolist() == order[expected].tolist()
    for row, i in enumerate(expected.tolist()):
        counts = np.zeros(FEATURES.buckets, np.int64)
        count_ngrams(*buffers([" ".join(["word", str(i)] * (i + 1))]), FEATURES, counts)
        mine = slice(found.starts[row], found.starts[row + 1])
        assert dict(zip(found.buckets[mine].tolist(), found.counts[mine].tolist(), strict=True)) == {
            bucket: n for bucket, n in enumerate(counts.tolist()) if n
        }


def test_shards_do_not_matter(tmp_path: Path) -> None:
    bound = Bound(4, 10**6)
    whole = write_shard(tmp_path)
    (file_range,) = whole.ranges
    middle = int(POSITIONS[len(LINES) // 2])
    halves = [Shard(i, (FileRange(file_range.file, *span),), 1) for i, span in enumerate(
        [(0, middle), (middle, file_range.file.size)]
    )]  # fmt: skip
    joined = BottomKSample(bound)
    for half in halves:
        joined.extend(gather(tmp_path / "halves", half, bound))
    expected = gather(tmp_path / "whole", whole, bound).smallest(bound)
    assert joined.found().smallest(bound).to_bytes() == expected.to_bytes()
