"""What two methods choose of a shard is counted as plain sets would count it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.features import count_ngrams
from dsir_core.shards.compare import Compared, CompareTask, compare_shard
from tests.features.texts import buffers
from tests.shards.weighed import LINES, MIN_TOKENS, TOKENS, chosen_by, cut, write_shard, write_weights

FEATURES = FeatureSettings(buckets=100)


def task(folder: Path) -> CompareTask:
    shard = write_shard(folder)
    weights = write_weights(Store(str(folder / "work")), "raw.jsonl")
    cuts = ((cut(3.0, 1),), (cut(0.0, 1),))
    return CompareTask(str(folder / "work"), shard, ReadSettings(), FEATURES, weights, ("target",), cuts, MIN_TOKENS)


def test_methods_are_compared_document_by_document(tmp_path: Path) -> None:
    result = compare_shard(task(tmp_path))
    found = result.compared
    chosen = [chosen_by(3.0, 1), chosen_by(0.0, 1)]
    assert found.documents.tolist() == [[len(some)] for some in chosen]
    assert found.tokens.tolist() == [[sum(TOKENS[i] for i in some)] for some in chosen]
    assert found.shared.tolist() == [[len(set(a) & set(b)) for b in chosen] for a in chosen]
    assert (found.seen, found.eligible) == (12, len(chosen_by(-9.0, 0)))
    for method, some in enumerate(chosen):
        counts = np.zeros(FEATURES.buckets, np.int64)
        count_ngrams(*buffers([" ".join(["word", str(i)] * (i + 1)) for i in some]), FEATURES, counts)
        assert found.counts[method, 0].tolist() == counts.tolist()
    assert result.tally.documents == len(LINES)


def test_figures_come_back_from_the_store(tmp_path: Path) -> None:
    same = task(tmp_path)
    first, again = compare_shard(same), compare_shard(same)
    assert (first.reused, again.reused) == (False, True)
    assert again.compared.to_json() == first.compared.to_json()
    assert np.array_equal(again.compared.counts, first.compared.counts)


def test_figures_of_shards_add_up(tmp_path: Path) -> None:
    total = Compared.nothing(2, 1, FEATURES.buckets)
    one = compare_shard(task(tmp_path)).compared
    for _ in range(3):
        total.merge(one)
    for name in ("documents", "tokens", "shared", "counts"):
        assert np.array_equal(getattr(total, name), 3 * getattr(one, name))
    assert (total.seen, total.eligible) == (36, 3 * one.eligible)
