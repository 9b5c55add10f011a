"""The registries of hashes and tokenizers: what an entry says decides, and one entry is enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dsir_core.config.features import FeatureSettings
from dsir_core.config.hashes import HASHES, SHA256, TOKENIZERS, Hash
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.types import FileRange, Shard
from dsir_core.features import reference
from dsir_core.features.unicode_table import ENTRIES
from dsir_core.in_memory import count_texts
from dsir_core.shards.count import CountTask

TEXTS = ["To be, or not to be: that is the question.", "\u65e5\u672c\u8a9e"]
MARKED = replace(SHA256, name="marked", is_expensive=False)


def test_selectors_and_tables_are_those_of_one_entry_each() -> None:
    assert len({found.selector for found in HASHES.values()}) == len(HASHES)
    assert set(ENTRIES) == set(TOKENIZERS)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="must be one of xxh3, sha256"):
        FeatureSettings(hash="md5")
    with pytest.raises(ValidationError, match="must be one of wordpunct, unicode"):
        FeatureSettings(tokenizer="nltk")


def test_one_entry_adds_a_hash_to_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HASHES, MARKED.name, MARKED)
    features = FeatureSettings(hash="marked", buckets=500)
    counts = count_texts(TEXTS, features)
    assert counts.tolist() == count_texts(TEXTS, FeatureSettings(hash="sha256", buckets=500)).tolist()
    buckets = [bucket for text in TEXTS for order in reference.buckets_of(text, features) for bucket in order]
    assert counts.tolist() == np.bincount(buckets, minlength=500).tolist()


@pytest.mark.parametrize("hashed", [*HASHES.values(), MARKED], ids=lambda hashed: hashed.name)
def test_ngrams_are_kept_for_a_hash_that_is_expensive(
    hashed: Hash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HASHES, hashed.name, hashed)
    path = tmp_path / "raw.jsonl"
    path.write_text('{"text": "a b"}\n')
    (file,) = list_corpus([str(path)]).files
    shard = Shard(0, (FileRange(file),), 2**24)
    task = CountTask("work", shard, ReadSettings(), FeatureSettings(hash=hashed.name), keep_bytes=2**20)
    assert task.keeps == hashed.is_expensive
