"""Taking the chosen records of a shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsir_core.checkpoints.receipts import Receipt
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.types import Batch, FileRange, Shard, SourceFile
from dsir_core.errors import DamagedFileError
from dsir_core.shards import extract
from dsir_core.shards import selected_records as chosen
from dsir_core.shards.extract import ExtractTask, extract_shard


def test_text_that_is_not_what_was_scored_is_damage_and_named_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://user:s3cret@host/a.jsonl"
    file_range = FileRange(SourceFile("a.jsonl", url, 20, "x", "jsonl", "none"))
    text = b"three words here"
    batch = Batch(np.array([0]), np.frombuffer(text, np.uint8), np.array([0, len(text)]), records=[text])
    one = np.zeros(1, np.int64)
    some = extract._SelectedRows(one, np.array([4], np.int32), None, one.astype(np.int32))
    monkeypatch.setattr(chosen, "read_range", lambda *_, **__: iter([batch]))
    monkeypatch.setattr(extract, "_read_chosen", lambda *_: {"a.jsonl": some})
    receipt = Receipt("selection", "0" * 64, "selection/x.parquet", 0, "0" * 64, {})
    task = ExtractTask(
        str(tmp_path), Shard(0, (file_range,), 20), ReadSettings(), FeatureSettings(), receipt, ("target",)
    )
    with pytest.raises(DamagedFileError, match=r"https://host/a\.jsonl: no longer holds the documents") as raised:
        extract_shard(task)
    assert "s3cret" not in str(raised.value)
