"""What counting keeps of a target beside its counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.types import FileRange, Shard
from dsir_core.in_memory import count_texts
from dsir_core.shards.count import CountTask, TargetCounting, count_shard

FEATURES = FeatureSettings(buckets=100)


def test_copies_of_a_document_fall_into_one_fold(tmp_path: Path) -> None:
    texts = [f"document number {i} {'word ' * i}" for i in range(40)]
    for name in "ab":
        lines = "".join(json.dumps({"text": text}) + "\n" for text in (texts if name == "a" else texts[::-1]))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    files = list_corpus([str(tmp_path / "*.jsonl")]).files
    folds = []
    for file in files:
        shard = Shard(0, (FileRange(file),), file.size)
        task = CountTask(str(tmp_path / "work"), shard, ReadSettings(), FEATURES, target=TargetCounting(folds=5))
        folds.append(count_shard(task).counts)
    assert folds[0].tolist() == folds[1].tolist()
    assert folds[0].any(axis=1).all()
    assert folds[0].sum(axis=0).tolist() == count_texts(texts, FEATURES).tolist()
    assert np.ptp(folds[0].sum(axis=1)) > 0
