"""What is kept between counting and scoring changes no bit, stays within its limit, and is never needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import parse_config
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import Shard
from dsir_core.features import count_and_keep, count_ngrams, score_ngrams
from dsir_core.model.importance import fit_model
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.shards import count as counting
from dsir_core.shards import ngram_cache as kept
from dsir_core.shards.count import CountTask, count_shard
from dsir_core.shards.ngram_cache import NGRAM_CACHE, KeptShard, NgramCache
from dsir_core.shards.score import ScoreTask, score_shard
from dsir_core.stages.count import count, raw_tasks
from dsir_core.stages.plan import plan
from dsir_core.stages.run import Run
from tests.features.texts import TEXTS, buffers

SHA256 = FeatureSettings(hash="sha256")


@pytest.mark.parametrize("name", ["xxh3", "sha256"])
@given(
    texts=st.lists(TEXTS, max_size=5),
    ngrams=st.integers(1, 4),
    buckets=st.sampled_from([2, 7, 10_000, 2**16]),
    targets=st.integers(1, 3),
)
def test_kept_ngrams_count_and_score_as_the_text_does(
    name: str, texts: list[str], ngrams: int, buckets: int, targets: int
) -> None:
    features = FeatureSettings(hash=name, ngrams=ngrams, buckets=buckets)
    log_ratio = np.random.default_rng(0).normal(size=(targets, buckets)) * 1e3
    expected_counts, found_counts = np.zeros(buckets, np.int64), np.zeros(buckets, np.int64)
    count_ngrams(*buffers(texts), features, expected_counts)
    ngrams_kept = count_and_keep(*buffers(texts), features, found_counts)
    log_weights, n_tokens = score_ngrams(*buffers(texts), features, log_ratio)
    assert np.array_equal(found_counts, expected_counts)
    assert np.array_equal(ngrams_kept.n_tokens, n_tokens)
    assert np.array_equal(ngrams_kept.score(log_ratio), log_weights)


def test_buckets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="two bytes"):
        count_and_keep(*buffers(["a"]), FeatureSettings(buckets=2**16 + 1), np.zeros(2**16 + 1, np.int64))


@pytest.fixture
def shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shard:
    monkeypatch.setattr(counting, "MIN_SHARD_BYTES", 0)
    path = tmp_path / "raw.jsonl"
    lines = [json.dumps({"text": f"word{i} and some more of it"}) for i in range(500)]
    path.write_text("\n".join([*lines, "broken", ""]))
    (found,) = plan_shards(list_corpus([str(path)]).files)
    return found


def scored(workdir: Path, shard: Shard, keep_bytes: int, *, forget: bool = False) -> tuple[bytes, bool, Path]:
    task = CountTask(str(workdir), shard, ReadSettings(), SHA256, None, keep_bytes)
    counted = count_shard(task)
    is_kept = NGRAM_CACHE.holds(task.place)
    model = fit_model({"target": counted.counts[::-1].copy()}, counted.counts)
    Store(str(workdir)).write(f"model/{model.digest}.npz", model.to_bytes())
    if forget:
        NGRAM_CACHE.take(task.place)
    result = score_shard(ScoreTask(str(workdir), shard, ReadSettings(), SHA256, model.digest))
    assert (result.tally.documents, result.tally.bad) == (500, 1)
    return (workdir / result.receipt.name).read_bytes(), is_kept, workdir / result.receipt.name


def test_a_kept_shard_gives_the_same_weights_without_reading_it(
    tmp_path: Path, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, was_kept, path = scored(tmp_path / "a", shard, 0)
    assert not was_kept
    assert scored(tmp_path / "b", shard, 2**20, forget=True)[:2] == (again, True)
    reads: list[object] = []
    monkeypatch.setattr("dsir_core.shards.score.read_shard", lambda *args: reads.append(args) or iter(()))
    assert scored(tmp_path / "c", shard, 2**20)[:2] == (again, True)
    assert not reads
    assert pq.read_metadata(path).num_rows == 500
    assert NGRAM_CACHE.room(str(tmp_path / "c"), 2**20) == 2**20
    quarantine = [sorted(p.read_bytes() for p in (tmp_path / name / "quarantine").iterdir()) for name in "abc"]
    assert quarantine[0] == quarantine[1] == quarantine[2] != []


@pytest.mark.parametrize("more", [{}, {"strata": "kind"}, {"weights": {"column": "quality"}}])
def test_only_ngrams_that_scoring_will_take_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
) -> None:
    monkeypatch.setattr(counting, "MIN_SHARD_BYTES", 0)
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps({"text": f"word{i} and", "kind": "a", "quality": 1}) + "\n" for i in range(9)))
    values = {"raw": str(path), "target": str(path), "workdir": str(tmp_path / "work"), "hash": "sha256", **more}
    run = Run(parse_config(values, sized=False, output=False), InlineExecutor())
    counted = count(run, plan(run))
    (task,) = raw_tasks(run.config, plan(run).raw.shards, 1.0)
    assert counted.raw.tally.documents == 9
    assert NGRAM_CACHE.holds(task.place) == (not more)


def test_a_shard_that_does_not_fit_is_not_kept(tmp_path: Path, shard: Shard) -> None:
    assert scored(tmp_path / "a", shard, 1000)[1] is False
    assert NGRAM_CACHE.room(str(tmp_path / "a"), 1000) == 1000


def test_a_batch_that_is_too_large_ends_keeping(tmp_path: Path, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_BATCH_BYTES", 100)
    assert scored(tmp_path / "a", shard, 2**20)[1] is False


def test_shards_of_another_run_are_forgotten() -> None:
    keeper = NgramCache()
    assert keeper.put("a", "1", KeptShard(n_bytes=60), 100)
    assert not keeper.put("a", "2", KeptShard(n_bytes=60), 100)
    assert keeper.room("a", 100) == 40
    assert keeper.put("b", "2", KeptShard(n_bytes=60), 100)
    assert keeper.take("1") is None
    assert keeper.take("2") is not None
    assert keeper.room("b", 100) == 100
