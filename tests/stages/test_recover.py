"""What held-out recovery is measured on: fair samples, the sizes that the run selects; and shards that are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsir_core.checkpoints.kinds import DOCUMENTS
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.corpus.tally import Tally
from dsir_core.errors import RunFailedError, WorkerLostError
from dsir_core.model.compact_sample import Bound, SparseDocuments
from dsir_core.pipeline import select
from dsir_core.resampling.ranks import Ranks
from dsir_core.runtime.executor import InlineExecutor, Outcome
from dsir_core.shards.recover import Found
from dsir_core.shards.sample_documents import GatherTask, StoredSample, load_sample
from dsir_core.stages.count import CorpusCounts, Counts
from dsir_core.stages.document_samples import SampleSize
from dsir_core.stages.recover import recovery_of
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO, Select


def one_bucket(n: int, bucket: int, rng: np.random.Generator) -> SparseDocuments:
    order = rng.integers(0, 2**64, n, dtype=np.uint64)
    return SparseDocuments(order, np.arange(n + 1), np.full(n, bucket, np.int32), np.ones(n, np.int32))


def stored(store: Store, key: str, documents: SparseDocuments, rate: float) -> StoredSample:
    with store.checkpoint(DOCUMENTS.folder, key, DOCUMENTS.suffix, {}) as draft:
        draft.stream.write(documents.to_bytes())
    assert draft.receipt is not None
    return StoredSample((draft.receipt,), rate)


@pytest.mark.parametrize("bound", [Bound(300, 10**6), Bound(10**5, 10**6)], ids=["more than fit", "all fit"])
def test_a_pooled_target_has_its_documents_in_proportion_whatever_was_read_of_each(
    tmp_path: Path, bound: Bound
) -> None:
    """Of 20,000 documents a tenth was read, of 1,000 all: one document in 21 is of the second."""
    rng, store = np.random.default_rng(0), Store(str(tmp_path))
    large = stored(store, "a", one_bucket(2000, 0, rng), 0.1)
    small = stored(store, "b", one_bucket(1000, 1, rng), 1.0)
    sample = load_sample(store, (large, small), bound)
    assert np.mean(sample.buckets == 1) == pytest.approx(1 / 21, abs=0.03)
    alone = load_sample(store, (large,), bound)
    assert len(alone) == min(bound.documents, 2000)


def test_a_corpus_that_grows_a_little_is_sampled_at_the_same_rate() -> None:
    size = SampleSize(Bound(10_000, 10**9), times=2)
    assert size.rate(15_000) == 1
    assert size.rate(1_000_000) == size.rate(1_010_000)
    assert 0.02 <= size.rate(1_000_000) < 0.03


def test_no_more_documents_are_looked_at_than_a_sample_needs() -> None:
    size = SampleSize(Bound(10_000, 4_000_000), times=2)
    assert size.share(5_000, 100) == 1
    assert 10_000 < 24_000 * size.share(24_000, 100) < 18_000
    assert 2 * 4_000_000 / 2_000 < 24_000 * size.share(24_000, 2_000) < 7_000
    assert size.share(24_000, 2_000) == size.share(24_100, 2_005)


def counts_of(**documents: tuple[int, int]) -> Counts:
    """Counts of targets with so many documents and n-grams each."""
    targets = {
        name: CorpusCounts(np.array([ngrams]), Tally(documents=n, tokens=ngrams), np.empty((0, 4), np.int64))
        for name, (n, ngrams) in documents.items()
    }
    return Counts(targets, CorpusCounts(np.array([1]), Tally(documents=1000), np.empty((0, 4), np.int64)), 1.0, {})


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"separate": True}, {"a": 0.08, "b": 0.02}),
        ({"match": True}, {"a": 0.05, "b": 0.05}),
        ({"match": True, "count": None, "tokens": 8000}, {"a": 0.08, "b": 0.02}),
        ({"separate": True, "proportions": {"a": 1, "b": 3}}, {"a": 0.025, "b": 0.075}),
    ],
    ids=str,
)
def test_recovery_is_judged_at_the_size_that_each_target_takes(settings: Any, shares: dict[str, float]) -> None:
    """Target `a` has as many documents as `b`, four times as long."""
    config = parse_config(
        {"raw": "r", "target": {"a": "a", "b": "b"}, "count": 100, "output": "o", **settings}
        | ({"tokens": settings["tokens"]} if "tokens" in settings else {})
    )
    found = Found((Ranks(np.zeros(5, np.int64), 1000),), eligible_share=1.0, tokens=80.0)
    recovery = recovery_of(config, counts_of(a=(50, 800), b=(50, 200)), {"a": found, "b": found})
    assert {name: one.share for name, one in recovery.items()} == pytest.approx(shares)


class LosingExecutor(InlineExecutor):
    """Loses the workers of one shard of raw in the stage recover."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], *, name: str) -> Iterator[Outcome[Any]]:
        of_raw = [i for i, item in enumerate(items) if isinstance(item, GatherTask) and item.corpus == "raw"]
        for outcome in super().map(function, items, name=name):
            lost = outcome.index in of_raw[:1]
            yield Outcome(outcome.index, None, WorkerLostError("lost its workers")) if lost else outcome


def test_a_shard_that_ends_every_worker_is_left_out_of_the_samples_as_elsewhere(tmp_path: Path) -> None:
    def run(n: int) -> dict[str, Any]:
        values = {
            "raw": str(DEMO / "raw"),
            "target": {"speeches": str(DEMO / "targets" / "speeches.jsonl")},
            "count": 50,
            "output": str(tmp_path / "output"),
            "max_bad_shards": n,
        }
        return select(Run(parse_config(values), LosingExecutor()))

    with pytest.raises(RunFailedError, match=r"recover: 1 shard end every worker.*--max-bad-shards 1"):
        run(0)
    report = run(1)
    assert any("lost its workers" in note for note in report["notes"])


def test_another_size_scores_nothing_anew_where_the_choice_is_the_same(run_select: Select, pool: Path) -> None:
    """With `auto`, settings are compared at the size of the run."""
    target = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}
    request = {"raw": str(pool), "target": target, "smoothing": "auto", "length_normalise": "auto"}
    reports = [run_select(**request, count=count, overwrite=True) for count in (60, 66, 75, 90, 120)]
    assert [report["stages"]["score"]["reused"] for report in reports[1:]] == [1, 1, 1, 1]
