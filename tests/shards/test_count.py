"""Counts of a shard are those of its documents, all of them or those of a sample; every record is accounted for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xxhash

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import FileRange
from dsir_core.errors import RequestError
from dsir_core.features import reference as oracle
from dsir_core.model.noise import random_bits
from dsir_core.shards import count as module
from dsir_core.shards.count import BlockSample, CountTask, TargetCounting, count_shard

FEATURES = FeatureSettings(buckets=97)
RECORDS = [{"text": f"one {'two ' * i}漢字 ...", "lang": "xyz"[i % 3], "n": i} for i in range(20)]


def task(folder: Path, **more: object) -> CountTask:
    path = folder / "a.jsonl"
    if not path.exists():
        path.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in RECORDS) + "{bad\n")
    (shard,) = plan_shards(list_corpus([str(path)]).files)
    return CountTask(str(folder / "work"), shard, ReadSettings(), FEATURES, **more)  # type: ignore[arg-type]


def expected(records: list[dict[str, object]]) -> tuple[np.ndarray, int]:
    counts, tokens = np.zeros(97, np.int64), 0
    for record in records:
        tokens += len(oracle.tokenize(str(record["text"]), FEATURES.tokenizer))
        for found in oracle.buckets_of(str(record["text"]), FEATURES, xxhash.xxh3_64_intdigest):
            np.add.at(counts, found, 1)
    return counts, tokens


def test_all_ngrams_of_a_shard_are_counted_and_its_records_accounted_for(tmp_path: Path) -> None:
    counts, tokens = expected(RECORDS)
    first, again = count_shard(task(tmp_path)), count_shard(task(tmp_path))
    for result in (first, again):
        assert result.counts.tolist() == counts.tolist()
        assert (result.tally.documents, result.tally.bad, result.tally.tokens) == (20, 1, tokens)
        assert (result.tally.strata, result.tally.unspaced_bytes) == ({}, 0)
    assert (first.reused, again.reused) == (False, True)
    assert list((tmp_path / "work" / "quarantine").iterdir())


def test_a_target_is_counted_by_stratum_too(tmp_path: Path) -> None:
    tally = count_shard(task(tmp_path, target=TargetCounting("lang"))).tally
    assert tally.strata == {name: [len(RECORDS[i::3]), expected(RECORDS[i::3])[1]] for i, name in enumerate("xyz")}
    assert tally.unspaced_bytes == 20 * len("漢字".encode())
    assert count_shard(task(tmp_path, target=TargetCounting())).tally.strata == {}


def test_a_field_of_too_many_values_is_no_stratum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsir_core.corpus.fields.MAX_STRATA", 19)
    with pytest.raises(RequestError, match="'n'"):
        count_shard(task(tmp_path, target=TargetCounting("n")))


def test_a_sample_is_of_blocks_by_their_own_hash_and_samples_nest() -> None:
    blocks = np.arange(4000)
    bits = random_bits(blocks, "fit sample", "a")
    kept = {rate: BlockSample(rate).keep_block("a")(blocks) for rate in (1e-300, 0.25, 0.5, 1.0, 1e9)}
    assert kept[0.25].tolist() == [int(n) < 2**62 for n in bits]
    assert kept[0.5].tolist() == [int(n) < 2**63 for n in bits]
    assert [int(kept[rate].sum()) for rate in (1e-300, 1.0, 1e9)] == [0, 4000, 4000]
    limits = [2**62 - 1, 2**62, 2**64 - 2, 2**64 - 1]

    def block_filter(rate: float, found: int, monkeypatch: pytest.MonkeyPatch) -> bool:
        monkeypatch.setattr(module, "random_bits", lambda *_: np.array([found], np.uint64))
        return bool(BlockSample(rate).keep_block("a")(blocks[:1])[0])

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert [block_filter(0.25, found, monkeypatch) for found in limits] == [True, False, False, False]
        assert [block_filter(1.0, found, monkeypatch) for found in limits] == [True, True, True, False]


def test_a_sample_is_counted_without_quarantine_and_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    nothing = count_shard(task(tmp_path, sample=BlockSample(1e-300)))
    assert (nothing.counts.sum(), nothing.tally.documents, nothing.tally.tokens) == (0, 0, 0)
    everything = count_shard(task(tmp_path, sample=BlockSample(0.999999)))
    assert everything.counts.tolist() == expected(RECORDS)[0].tolist()
    assert not (tmp_path / "work" / "quarantine").exists()


def test_a_checkpoint_depends_on_all_that_is_counted(tmp_path: Path) -> None:
    plain = task(tmp_path)
    samples = [replace(plain, sample=BlockSample(rate)) for rate in (0.5, 0.25)]
    targets = [replace(plain, target=TargetCounting(strata)) for strata in (None, "lang", "n")]
    assert len({one.key for one in (plain, *samples, *targets)}) == 6
    assert {one.place for one in (plain, *samples, *targets)} == {plain.place}
    assert plain.keep_bytes == 0
    assert replace(plain, keep_bytes=5).key == plain.key


def test_ngrams_are_kept_where_reading_them_again_costs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = task(tmp_path, keep_bytes=1)
    monkeypatch.setattr(module, "MIN_SHARD_BYTES", small.shard.n_bytes)
    slow = replace(small, features=FEATURES.model_copy(update={"hash": "sha256"}))
    files = [
        FileRange(replace(one.file, url=f"s3://b/{i}"), one.start, one.stop) for i, one in enumerate(small.shard.ranges)
    ]
    remote = replace(small, shard=replace(small.shard, ranges=tuple(files)))
    assert (small.keeps, slow.keeps, remote.keeps) == (False, True, True)
    for less in (
        replace(slow, keep_bytes=0),
        replace(slow, sample=BlockSample(0.5)),
        replace(slow, read=ReadSettings(chunk=Chunking(words=4))),
    ):
        assert not less.keeps
    monkeypatch.setattr(module, "MIN_SHARD_BYTES", small.shard.n_bytes + 1)
    assert not slow.keeps
