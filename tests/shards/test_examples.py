"""What is shown of documents as examples: the heaviest passage of each, and the fields that its record has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.kinds import MODEL
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.model.importance import FittedModel
from dsir_core.shards.examples import EXAMPLE_CHARACTERS, Example, ExamplesTask, WeighedBy, read_examples

FEATURES = FeatureSettings(buckets=97)
RECORDS: list[dict[str, Any]] = [{"id": "one", "text": "a b", "n": 1}]


def examples(path: Path, **more: Any) -> list[Example]:
    """Of the first document of a file; every n-gram weighs the same."""
    model = FittedModel(("a",), (), np.ones((1, FEATURES.buckets)))
    store = Store(str(path.parent / "work"))
    store.write(f"{MODEL.name(model.digest)}{MODEL.suffix}", model.to_bytes())
    (file,) = list_corpus([str(path)]).files
    by = WeighedBy(store.url, model.digest, FEATURES)
    asked = {"places": ((0, 0),), "targets": ("a",), "chunk": None, "fields": (), "by": by, **more}
    return read_examples(ExamplesTask(file, ReadSettings(), **asked))


@pytest.mark.parametrize("n_spaces", [0, 1, 5, 590, 600, 5000])
@pytest.mark.parametrize("words", ["one two three", "word " * 90 + "x" * 700 + " y", "x" * 2000, "a " * 400])
def test_a_passage_holds_tokens_and_its_fragments_make_the_whole_of_it(
    tmp_path: Path, n_spaces: int, words: str
) -> None:
    text = "\n" * n_spaces + words
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (found,) = examples(tmp_path / "a.jsonl")
    assert found.text.strip()
    assert len(found.text) <= EXAMPLE_CHARACTERS
    assert text[found.start :].startswith(found.text)
    assert all(n > 0 for n, _ in found.levels)
    assert sum(n for n, _ in found.levels) == len(found.text)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_field_that_is_missing_leaves_the_others(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        path.write_text(json.dumps(RECORDS[0]) + "\n" if kind == "jsonl" else "id,text,n\none,a b,1\n")
    (found,) = examples(path, fields=("url", "id", "n"))
    assert found.fields == {"id": "one", "n": "1"}
