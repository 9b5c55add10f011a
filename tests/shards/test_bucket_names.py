"""Which n-grams a selection gained and lost, and the names of their buckets."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.types import FileRange, Shard
from dsir_core.features import can_keep
from dsir_core.features import reference as oracle
from dsir_core.report.groups import Group, largest
from dsir_core.shards.bucket_names import (
    NamesTask,
    buckets_in_order,
    buckets_of,
    moved_buckets,
    name_buckets,
    ngrams_in,
    ngrams_of,
    tokens_of,
)
from dsir_core.shards.excerpts import Excerpt, evenly
from tests.integration.conftest import DEMO

FEATURES = [
    FeatureSettings(),
    FeatureSettings(hash="sha256", ngrams=3),
    FeatureSettings(ngrams=4, buckets=2**20),
    FeatureSettings(tokenizer="unicode", ngrams=1, buckets=7),
]


@pytest.mark.parametrize("features", FEATURES, ids=str)
@given(text=st.text(alphabet=st.sampled_from("aB. _!Σσİ日本é"), max_size=30))
def test_buckets_of_ngrams_are_those_of_the_oracle(features: FeatureSettings, text: str) -> None:
    tokens = oracle.tokenize(text, features.tokenizer)
    expected = [b for order in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest) for b in order]
    assert buckets_of(list(ngrams_of(tokens, features.ngrams)), features).tolist() == expected


@pytest.mark.parametrize("features", FEATURES, ids=str)
@given(text=st.text(alphabet=st.sampled_from("aB. _!Σσİ日本é"), max_size=30))
def test_buckets_in_order_are_those_of_the_oracle(features: FeatureSettings, text: str) -> None:
    tokens = oracle.tokenize(text, features.tokenizer)
    found = [buckets.tolist() for buckets in buckets_in_order(tokens, features)]
    assert found == [list(order) for order in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest)]


def test_what_are_no_tokens_have_no_bucket() -> None:
    assert buckets_of([("a b",), ("",)], FeatureSettings()).tolist() == [-1, -1]
    assert [buckets.tolist() for buckets in buckets_in_order(["a b"], FeatureSettings())] == [[-1], []]


@pytest.mark.parametrize("features", FEATURES, ids=str)
@given(texts=st.lists(st.text(alphabet=st.sampled_from("aB. _!Σσİ日本é\x1c"), max_size=30), max_size=4))
def test_ngrams_of_wanted_buckets_are_found_as_often_as_they_occur(features: FeatureSettings, texts: list[str]) -> None:
    tokens = [oracle.tokenize(text, features.tokenizer) for text in texts]
    wanted = range(0, features.buckets, 2)
    found = Counter(ngrams_in(tokens, features, wanted))
    everything = Counter(ngram for document in tokens for ngram in ngrams_of(document, features.ngrams))
    buckets = dict(zip(everything, buckets_of(list(everything), features).tolist(), strict=True))
    assert {ngram: n for ngram, n in found.items() if buckets[ngram] in wanted} == {
        ngram: n for ngram, n in everything.items() if buckets[ngram] in wanted
    }
    assert can_keep(features) <= all(buckets[ngram] in wanted for ngram in found)


def test_documents_whose_tokens_the_kernel_reads_differently_keep_all_ngrams() -> None:
    documents = [["a", "b"], ["c d", "e"], ["f"]]
    assert Counter(ngrams_in(documents, FeatureSettings(), ())) == Counter([("c d",), ("e",), ("c d", "e")])


@pytest.mark.parametrize("tokenizer", ["unicode", "wordpunct"])
@given(text=st.text(alphabet=st.sampled_from("aB. _!Σσ日本é\x1c\u3000"), max_size=30))
def test_tokens_are_those_of_the_oracle(tokenizer: str, text: str) -> None:
    assert tokens_of(text, tokenizer) == oracle.tokenize(text, tokenizer)


def test_names_are_the_most_frequent_ngrams_of_a_bucket_and_collisions_are_counted(tmp_path: Path) -> None:
    features = FeatureSettings(buckets=50)
    path = tmp_path / "a.jsonl"
    texts = [json.loads(line)["text"] for line in (DEMO / "targets" / "jargon.jsonl").read_text().splitlines()]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (file,) = list_corpus([str(path)]).files
    sample = Excerpt((FileRange(file),), ReadSettings(), 10**7)
    found = name_buckets(NamesTask(sample, features, (3, 4)))
    counts = Counter(ngram for text in texts for ngram in ngrams_of(oracle.tokenize(text), 2))
    buckets = buckets_of(list(counts), features)
    for bucket in (3, 4):
        mine = [ngram for ngram, its in zip(counts, buckets, strict=True) if its == bucket]
        assert found[bucket].distinct == len(mine)
        assert found[bucket].occurrences == sum(counts[ngram] for ngram in mine)
        assert found[bucket].first[0][1] == max(counts[ngram] for ngram in mine)


def test_a_sample_is_bounded_and_spread(tmp_path: Path) -> None:
    shards = []
    for i in range(20):
        path = tmp_path / f"{i:02}.jsonl"
        path.write_text("".join(json.dumps({"text": f"{i} " * 50}) + "\n" for _ in range(1000)))
        (file,) = list_corpus([str(path)]).files
        shards.append(Shard(i, (FileRange(file),), file.size))
    sample = Excerpt.spread(shards, ReadSettings(), 5, 4000)
    texts = [
        bytes(batch.text_data[batch.text_offsets[i] : batch.text_offsets[i + 1]]).decode()
        for batch, n in sample.batches()
        for i in range(n)
    ]
    assert sorted({int(text.split()[0]) for text in texts}) == [0, 5, 10, 14, 19]
    assert len(texts) >= 5
    assert sum(map(len, texts)) <= 4000
    one_large = Excerpt.spread(shards, ReadSettings(), 1, 1)
    assert [n for _, n in one_large.batches()] == [1]


@given(st.integers(0, 50), st.integers(1, 20))
def test_evenly_spaced_indices_are_distinct_and_hold_both_ends(n: int, wanted: int) -> None:
    found = evenly(n, wanted)
    assert len(set(found)) == len(found) == min(n, wanted)
    assert found == sorted(found)
    assert not n or found[0] == 0
    assert wanted < 2 or not n or found[-1] == n - 1


def test_moved_buckets_are_ordered_by_what_they_change() -> None:
    raw, selected = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.3, 0.4, 0.2])
    change, gained, lost = moved_buckets(raw, selected)
    assert gained == [3, 2]
    assert lost == [0]
    assert change[2] == pytest.approx(0.4 * np.log(2))
    assert change[0] == pytest.approx(0.5 * np.log(0.2))


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9)), unique_by=lambda one: one[0]), st.integers(1, 5))
def test_the_largest_groups_are_named_and_the_others_summed(found: list[tuple[str, int]], n: int) -> None:
    groups = largest((Group(name, size, size, 0) for name, size in found), n)
    shown, others = groups["groups"], groups["others"]
    assert [group["name"] for group in shown] == sorted(group["name"] for group in shown)
    assert len(shown) == min(n, len(found))
    rest = others or {"groups": 0, "documents": 0}
    assert len(shown) + rest["groups"] == len(found)
    assert sum(group["documents"] for group in shown) + rest["documents"] == sum(size for _, size in found)
    smallest = min((group["documents"] for group in shown), default=0)
    left = dict(found)
    assert all(left[name] <= smallest for name in left.keys() - {group["name"] for group in shown})
