"""Weights of a shard are sums of log ratios over its documents; all that is asked for stands beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.kinds import MODEL
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.config.settings import ExternalSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.external.scores import DocumentScores
from dsir_core.features import count_ngrams
from dsir_core.features.text_hashes import text_hashes
from dsir_core.model.classifier import Classifier
from dsir_core.model.importance import FittedModel
from dsir_core.resampling.weights_schema import hashes_of
from dsir_core.shards.score import ScoreTask, load_model, reads_text_alone, score_shard

FEATURES = FeatureSettings(buckets=97)
TEXTS = [f"one {'two ' * i}three ..." for i in range(12)]
SCORES: list[Any] = [float(i) if i % 4 else None for i in range(12)]
LOG_RATIO = np.random.default_rng(0).normal(size=(2, 97))
PLAIN = FittedModel(("a", "b"), (), LOG_RATIO)
CLASSIFYING = replace(PLAIN, classifier=Classifier(LOG_RATIO[::-1].copy(), np.array([0.5, -0.5])))


@pytest.fixture(autouse=True)
def _no_model_of_another_test() -> None:
    load_model.cache_clear()


def counts_of(text: str) -> tuple[np.ndarray, int]:
    counts, data = np.zeros(97, np.int64), text.encode()
    n_tokens = count_ngrams(np.frombuffer(data + b"\0", np.uint8), np.array([0, len(data)]), FEATURES, counts)
    return counts, int(n_tokens[0])


def task(folder: Path, model: FittedModel = PLAIN, **more: Any) -> ScoreTask:
    path, store = folder / "a.jsonl", Store(str(folder / "work"))
    if not path.exists():
        records = [{"text": text, "lang": "xyz"[i % 3], "score": SCORES[i]} for i, text in enumerate(TEXTS)]
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records) + "{bad\n")
    store.write(f"{MODEL.name(model.digest)}{MODEL.suffix}", model.to_bytes())
    (shard,) = plan_shards(list_corpus([str(path)]).files)
    return ScoreTask(**{"workdir": store.url, "shard": shard, "read": ReadSettings(), "features": FEATURES,
                        "model_digest": model.digest, **more})  # fmt: skip


def scored(asked: ScoreTask) -> pa.Table:
    return pq.read_table(f"{asked.workdir}/{score_shard(asked).receipt.name}")


def test_weights_are_sums_over_ngrams_and_records_are_accounted_for(tmp_path: Path) -> None:
    asked = task(tmp_path)
    first, again = score_shard(asked), score_shard(asked)
    assert (first.reused, again.reused, again.tally, again.receipt) == (False, True, first.tally, first.receipt)
    counts, n_tokens = zip(*map(counts_of, TEXTS), strict=True)
    assert (first.tally.documents, first.tally.bad, first.tally.tokens) == (12, 1, sum(n_tokens))
    table = scored(asked)
    assert table.column_names == ["file", "position", "n_tokens", "log_weight.a", "log_weight.b"]
    assert table["file"].to_pylist() == ["a.jsonl"] * 12
    assert table["n_tokens"].to_pylist() == list(n_tokens)
    for row, name in enumerate("ab"):
        found = table[f"log_weight.{name}"].to_numpy()
        np.testing.assert_allclose(found, [LOG_RATIO[row] @ one for one in counts], rtol=1e-12)


def test_a_batch_without_documents_is_not_the_end(tmp_path: Path) -> None:
    asked = task(tmp_path)
    (tmp_path / "0.jsonl").write_text("{bad\n")
    (shard,) = plan_shards(list_corpus([str(tmp_path / "0.jsonl"), str(tmp_path / "a.jsonl")]).files)
    both = replace(asked, shard=shard)
    assert score_shard(both).tally.bad == 2
    assert scored(both)["log_weight.a"].equals(scored(asked)["log_weight.a"])


def test_pages_hold_checksums(tmp_path: Path) -> None:
    name = score_shard(task(tmp_path)).receipt.name
    column = pq.ParquetFile(tmp_path / "work" / name).metadata.row_group(0).column(3)
    data = bytearray((tmp_path / "work" / name).read_bytes())
    begin = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
    data[begin + column.total_compressed_size - 3] ^= 1
    with pytest.raises(OSError, match=r"checksum|CRC"):
        pq.ParquetFile(pa.BufferReader(bytes(data)), page_checksum_verification=True).read()


def test_a_classifier_has_columns_of_its_own(tmp_path: Path) -> None:
    table = scored(task(tmp_path, CLASSIFYING))
    assert table.column_names[3:] == ["log_weight.a", "log_weight.b", "log_odds.a", "log_odds.b"]
    np.testing.assert_array_equal(table["log_weight.a"], scored(task(tmp_path))["log_weight.a"])
    for text, one, other in zip(TEXTS, table["log_odds.a"].to_pylist(), table["log_odds.b"].to_pylist(), strict=True):
        counts, _ = counts_of(text)
        assert one == pytest.approx(LOG_RATIO[1] @ counts / counts.sum() + 0.5)
        assert other == pytest.approx(LOG_RATIO[0] @ counts / counts.sum() - 0.5)


def test_strata_hashes_and_chunks_stand_beside_the_weights(tmp_path: Path) -> None:
    table = scored(task(tmp_path, strata="lang", hashes=True))
    assert table.column_names[5:] == ["stratum", "text_hash"]
    assert table["stratum"].to_pylist() == list("xyz") * 4
    data = "".join(TEXTS).encode()
    wanted = text_hashes(np.frombuffer(data, np.uint8), np.cumsum([0, *map(len, TEXTS)]))
    assert hashes_of(table["text_hash"].chunk(0)).tolist() == wanted.tolist()
    chunks = scored(task(tmp_path, read=ReadSettings(chunk=Chunking(words=4))))
    assert chunks.column_names[5:] == ["offset"]
    assert len(chunks) > 12
    assert chunks["offset"].to_pylist()[:2] == [0, 0]


def test_a_field_of_too_many_values_is_no_stratum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsir_core.corpus.fields.MAX_STRATA", 2)
    with pytest.raises(RequestError, match="'lang'"):
        score_shard(task(tmp_path, strata="lang"))


def test_scores_of_a_field_are_added_and_those_that_miss_are_counted(tmp_path: Path) -> None:
    settings = ExternalSettings(column="score", ngram=0.5, external=2.0)
    plain = scored(task(tmp_path))["log_weight.a"].to_numpy()
    for strata in (None, "lang"):
        asked = task(tmp_path, external=settings, strata=strata)
        assert asked.fields == (("score",) if strata is None else ("lang", "score"))
        result, table = score_shard(asked), scored(asked)
        wanted = [np.nan if score is None else 0.5 * w + 2 * score for w, score in zip(plain, SCORES, strict=True)]
        np.testing.assert_allclose(table["log_weight.a"].to_numpy(), wanted)
        assert result.tally.unscored == {"missing": 3}
        assert [one.position for one in result.tally.first_unscored] == table["position"].to_pylist()[::4]


@pytest.mark.parametrize("n", [12, 11, 13])
def test_joined_scores_belong_to_the_documents_in_their_order(tmp_path: Path, n: int) -> None:
    store = Store(str(tmp_path / "work"))
    given = DocumentScores(np.arange(float(n)), np.zeros(n, np.uint8), np.zeros(n, bool))
    with store.checkpoint("external", "0" * 64, ".npz", {}) as draft:
        given.write(draft.stream)
    settings = ExternalSettings(column="score", table="t.csv", key="id", ngram=0.0, external=1.0)
    asked = task(tmp_path, external=settings, joined=draft.sealed, strata="lang")
    assert asked.fields == ("lang",)
    if n == 12:
        assert scored(asked)["log_weight.b"].to_pylist() == list(range(12))
        return
    with pytest.raises(DamagedFileError, match="changed during the run"):
        score_shard(asked)


def test_a_checkpoint_depends_on_all_that_is_scored(tmp_path: Path) -> None:
    plain, settings = task(tmp_path), ExternalSettings(column="score", ngram=0.5, external=2.0)
    receipts = [Receipt("external", "0", "x", 1, digit * 64, {}) for digit in "12"]
    variants = [
        plain,
        replace(plain, model_digest="other"),
        replace(plain, strata="lang"),
        replace(plain, hashes=True),
        replace(plain, external=settings),
        replace(plain, external=settings.model_copy(update={"external": 3.0})),
        *(replace(plain, external=settings, joined=receipt) for receipt in receipts),
    ]
    assert len({one.key for one in variants}) == len(variants)
    assert {one.place for one in variants} == {plain.place}
    # Without hashes the key is that of versions that knew of none: their checkpoints are reused.
    assert "hashes" not in plain.depends
    assert variants[3].depends["hashes"] is True


def test_only_what_reads_the_text_alone_takes_kept_ngrams() -> None:
    plain, chunked = ReadSettings(), ReadSettings(chunk=Chunking(words=4))
    assert reads_text_alone(plain, None, None, False)
    assert not reads_text_alone(chunked, None, None, False)
    assert not reads_text_alone(plain, ExternalSettings(column="score"), None, False)
    assert not reads_text_alone(plain, None, "lang", False)
    assert not reads_text_alone(plain, None, None, True)
