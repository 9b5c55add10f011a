"""The limits that docs/limits.md states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from backports import zstd

from dsir_core.config.features import FeatureSettings
from dsir_core.config.predicate import MAX_CHARACTERS, parse_predicate
from dsir_core.config.predicate import MAX_DEPTH as CONDITION_DEPTH
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.fields import MAX_STRATA
from dsir_core.corpus.formats import arrow_messages, csv
from dsir_core.corpus.sharding import MAX_FILES, plan_shards
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.errors import DamagedFileError
from dsir_core.kernels.json_values import MAX_DEPTH
from tests.corpus.files import read_all, source
from tests.integration.conftest import Select

DOCS = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()


@pytest.mark.parametrize(
    "stated",
    [
        f"{ReadSettings().max_record_bytes // 2**20} MiB", f"{MAX_DEPTH} levels",
        f"{arrow_messages.MAX_BATCH_BYTES // 2**30} GiB", f"{arrow_messages.MAX_METADATA_BYTES // 2**20} MiB",
        f"{arrow_messages.MAX_BATCH_ROWS:,} rows", f"{csv.MAX_HEADER_BYTES // 2**20} MiB",
        f"{MAX_CHARACTERS:,} characters", f"{CONDITION_DEPTH} levels", f"{MAX_STRATA:,} values", f"{MAX_FILES:,} files",
    ],
)  # fmt: skip
def test_the_page_states_the_limits_of_the_code(stated: str) -> None:
    assert stated in DOCS


@pytest.mark.parametrize("levels", [MAX_DEPTH + 5, 900, 5_000, 200_000])
def test_deep_nesting_is_read_or_a_bad_record(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "a.jsonl"
    line = b'{"x": ' + b"[" * levels + b"]" * levels + b', "text": "deep"}\n'
    path.write_bytes(line + b'{"text": "after it"}\n')
    documents, bad = read_all(FileRange(source(path)))
    assert documents[-1] == (len(line), "after it")
    assert len(documents) + len(bad) == 2
    assert (len(bad) == 1) == (levels > 900)


def test_a_line_that_expands_a_thousandfold_is_one_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    packed = zstd.compress(b'{"text": "' + b"x" * 2**25 + b'"}\n{"text": "after it"}\n')
    assert len(packed) * 1000 < 2**25
    path.write_bytes(packed)
    documents, bad = read_all(FileRange(source(path)), settings=ReadSettings(max_record_bytes=2**20))
    assert [text for _, text in documents] == ["after it"]
    assert bad == [0]


def test_a_header_of_any_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "MAX_HEADER_BYTES", 10**4)
    path = tmp_path / "a.csv"
    path.write_bytes(b"text," + b"x" * 2 * 10**6 + b"\na,b\n")
    with pytest.raises(DamagedFileError, match=r"a\.csv"):
        read_all(FileRange(source(path)), settings=ReadSettings(max_record_bytes=10**4))


def test_conditions_have_a_length_and_a_depth() -> None:
    assert parse_predicate("(" * 50 + "n" + ")" * 50).fields == ("n",)
    with pytest.raises(ValueError, match="more than"):
        parse_predicate("n == 1 or " * MAX_CHARACTERS + "n == 1")
    with pytest.raises(ValueError, match="nested"):
        parse_predicate("not " * (CONDITION_DEPTH + 1) + "n")


@pytest.mark.parametrize("settings", [{"ngrams": 9}, {"buckets": 2**20 + 1}, {"buckets": 1}])
def test_features_beyond_the_limits_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"(less|greater) than or equal"):
        FeatureSettings(**settings)


def tiny(n: int, skip: int = -1) -> list[SourceFile]:
    return [SourceFile(f"{i:07d}.jsonl", f"/raw/{i:07d}.jsonl", 2, "v", "jsonl", "none") for i in range(n) if i != skip]


def test_tiny_files_share_shards_but_not_all_of_them_one() -> None:
    shards = plan_shards(tiny(20_000))
    assert sum(len(shard.ranges) for shard in shards) == 20_000
    assert max(len(shard.ranges) for shard in shards) <= MAX_FILES
    assert len(shards) < 80
    without_one = plan_shards(tiny(20_000, skip=7_000))
    assert len({shard.ranges for shard in shards} - {shard.ranges for shard in without_one}) < 8


def test_many_targets(tmp_path: Path, run_select: Select) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps({"text": f"w{i % 50} w{i % 7} w{i % 11}"}) + "\n" for i in range(60)))
    for i in range(40):
        (tmp_path / f"t{i:02d}.jsonl").write_text(json.dumps({"text": f"w{i} w{i % 7}"}) + "\n")
    targets = {f"t{i:02d}": str(tmp_path / f"t{i:02d}.jsonl") for i in range(40)}
    report = run_select(raw=str(raw), target=targets, count=40, separate=True, min_tokens=1, buckets=64)
    assert len(report["targets"]) == 40
    assert report["documents"]["selected"] == 40
