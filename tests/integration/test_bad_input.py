"""What a user is promised when records, files or targets are bad: never a wrong selection without a word."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from dsir_core.errors import RequestError, RunFailedError
from tests.integration.conftest import DEMO, TARGET, Select


def test_bad_records_within_the_budget_are_listed_and_the_run_goes_on(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    lines = pool.read_bytes().splitlines(keepends=True)
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(b"".join([*lines[:100], b'{"text": 1}\n', b"not json\n", b"\n", *lines[100:]]))
    report = run_select(raw=[str(raw)], target=TARGET, count=70)
    assert report["documents"]["raw"] == 2732
    assert report["documents"]["bad"] == 2
    (quarantine,) = (tmp_path / "workdir" / "quarantine").glob("*.jsonl")
    listed = [json.loads(line) for line in quarantine.read_text().splitlines()]
    start = sum(map(len, lines[:100]))
    assert [(bad["path"], bad["position"]) for bad in listed] == [
        ("raw.jsonl", start),
        ("raw.jsonl", start + 12),
    ]


def test_bad_records_over_the_budget_fail_the_run_by_name(run_select: Select, pool: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(pool.read_bytes() + b"oops\n" * 5)
    with pytest.raises(RunFailedError, match=r"5 of 2,735 records are bad.*raw\.jsonl at \d+"):
        run_select(raw=[str(raw)], target=TARGET, count=70)
    assert not (tmp_path / "output").exists()
    assert run_select(raw=[str(raw)], target=TARGET, count=70, max_bad_fraction=0.01)["documents"]["bad"] == 5


def test_a_truncated_file_never_passes_for_a_short_one(run_select: Select, pool: Path, tmp_path: Path) -> None:
    whole = (DEMO / "raw" / "pool-2.jsonl.gz").read_bytes()
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (raw / "b.jsonl").write_bytes(pool.read_bytes())
    settings = {"raw": [str(raw)], "target": TARGET, "count": 70, "shard_bytes": 10**6}
    with pytest.raises(RunFailedError, match=r"a\.jsonl\.gz.*--max-bad-shards 1"):
        run_select(**settings)
    report = run_select(**settings, max_bad_shards=1)
    assert report["documents"]["raw"] == 2730
    assert list(report["damaged"]) == ["a.jsonl.gz"]


def test_a_damaged_target_is_named_and_is_no_empty_one(run_select: Select, pool: Path, tmp_path: Path) -> None:
    good = Path(TARGET["speeches"])
    damaged = tmp_path / "t.jsonl.gz"
    damaged.write_bytes(gzip.compress(good.read_bytes())[:-5])
    with pytest.raises(RunFailedError, match=r"t\.jsonl\.gz.*--max-bad-shards"):
        run_select(raw=[str(pool)], target={"t": str(damaged)}, count=70)
    both = {"raw": [str(pool)], "target": {"t": [str(damaged), str(good)]}, "count": 70, "shard_bytes": 10**5}
    report = run_select(**both, max_bad_shards=1)
    assert any("t.jsonl.gz" in path for path in report["damaged"])
    assert any("left out" in note for note in report["notes"])


def test_a_budget_that_no_document_fits_into_is_said(run_select: Select, pool: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, tokens=1)
    assert report["documents"]["selected"] == 0
    assert any("no document is selected" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no document|holds no document"),
        ('{"text": "  "}\n', "no n-gram"),
        ('{"body": "x"}\n', "text"),
    ],
)
def test_a_useless_target_is_refused(run_select: Select, pool: Path, tmp_path: Path, content: str, words: str) -> None:
    target = tmp_path / "target.jsonl"
    target.write_text(content)
    with pytest.raises((RequestError, RunFailedError), match=words):
        run_select(raw=[str(pool)], target={"tiny": str(target)}, count=70)


def test_nothing_eligible_is_said(run_select: Select, pool: Path) -> None:
    with pytest.raises(RunFailedError, match="--min-tokens"):
        run_select(raw=[str(pool)], target=TARGET, count=70, min_tokens=10**6)


def test_a_page_of_hostile_documents_is_only_text(run_select: Select, pool: Path, tmp_path: Path) -> None:
    hostile = {"text": "<script>alert(1)</script> my fellow americans " * 200, "id": "x"}
    raw = tmp_path / "raw.jsonl"
    raw.write_text(pool.read_text() + json.dumps(hostile) + "\n")
    run_select(raw=[str(raw)], target={"<b>t</b>": TARGET["speeches"]}, fraction=1.0)
    page = (tmp_path / "output" / "report.html").read_text()
    assert "<script>" not in page
    assert "<b>t" not in page
