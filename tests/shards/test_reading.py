"""A shard is known by what its documents depend on, and its bad records are listed once it is read to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Shard
from dsir_core.shards.reading import identity, quarantine_of, quarantining, read_shard

READ = ReadSettings()


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "one"}\nbroken\n{"text": "two", "n": 1}\n')
    (shard,) = plan_shards(list_corpus([str(tmp_path / "*.jsonl")]).files)
    return shard


def test_a_shard_is_another_with_another_file_range_version_or_setting(shard: Shard) -> None:
    first, second = shard.ranges
    others = [
        (replace(shard, ranges=(first,)), READ),
        (replace(shard, ranges=(second, first)), READ),
        (replace(shard, ranges=(replace(first, start=1), second)), READ),
        (replace(shard, ranges=(replace(first, file=replace(first.file, version="2")), second)), READ),
        (replace(shard, ranges=(replace(first, file=replace(first.file, size=9)), second)), READ),
        (shard, ReadSettings(text_field="body")),
    ]
    found = [json.dumps(identity(*one), sort_keys=True) for one in [(shard, READ), *others]]
    assert len(set(found)) == len(found)
    assert identity(replace(shard, index=7), READ) == identity(shard, READ)


def test_all_ranges_are_read_in_order_and_counted(shard: Shard, tmp_path: Path) -> None:
    store, tally = Store(str(tmp_path / "work")), Tally()
    with quarantining(store, shard, READ, tally, write=True) as quarantine:
        read = [
            (file_range.file.path, position, values)
            for file_range, batch in read_shard(shard, READ, tally, quarantine, fields=("n",))
            for position, values in zip(batch.positions.tolist(), batch.fields, strict=True)
        ]
    assert read == [(name, at, [n]) for name in ("a.jsonl", "b.jsonl") for at, n in ((0, None), (23, 1))]
    assert (tally.documents, tally.bad, tally.records) == (4, 2, 6)
    (name,) = store.names("quarantine")
    assert name == f"{quarantine_of(shard, READ)}.jsonl"
    listed = [json.loads(line) for line in store.read(name).splitlines()]
    assert [(bad["path"], bad["position"]) for bad in listed] == [("a.jsonl", 16), ("b.jsonl", 16)]
    assert b"broken" not in store.read(name)


@pytest.mark.parametrize("write", [True, False])
def test_no_list_is_written_of_half_a_shard_or_of_a_sample(shard: Shard, tmp_path: Path, write: bool) -> None:
    store, tally = Store(str(tmp_path / "work")), Tally()

    def read() -> None:
        with quarantining(store, shard, READ, tally, write=write) as quarantine:
            for _ in read_shard(shard, READ, tally, quarantine):
                if write:
                    raise RuntimeError("stop")

    if write:
        with pytest.raises(RuntimeError, match="stop"):
            read()
    else:
        read()
    assert store.names() == []
