"""What a user is told before a run: what is reused, what fails, what looks wrong; and that nothing stays written."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.forecasting.speed import MARK_SECONDS, SHARD_SECONDS, Amount, Speed, mark_seconds, score_seconds
from dsir_core.report.formatting import human_count
from tests.forecasting.conftest import Plan
from tests.integration.conftest import DEMO, Select

SPEECHES = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}


def request(raw: Path | str, **settings: Any) -> dict[str, Any]:
    return {"raw": str(raw), "target": SPEECHES, "count": 70, "shard_bytes": 2**20, **settings}


def tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def said(warnings: list[str], words: str) -> bool:
    return any(words in warning for warning in warnings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"separate": True},
        {"refit": "never"},
        {"fit_ngrams": 200_000},
        {"strata": "label", "quotas": "target"},
        {"match": True, "tokenizer": "unicode", "chunk": {"words": 100}},
    ],
    ids=str,
)
def test_what_is_complete_is_told_as_reused(plan: Plan, run_select: Select, pool: Path, settings: Any) -> None:
    before = plan(**request(pool, **settings))
    assert (before.stages["count"].reused, before.stages["score"].reused) == (0, 0)
    run_select(**request(pool, **settings))
    after = plan(**request(pool, overwrite=True, **settings))
    assert after.stages["count"].reused == after.stages["count"].shards
    assert after.stages["score"].reused == after.stages["score"].shards
    assert after.stages["score"].shards > 1
    # And it is so.
    report = run_select(**request(pool, overwrite=True, **settings))
    assert report["stages"]["score"]["reused"] == after.stages["score"].reused


def test_a_new_target_costs_its_counts_and_all_weights(plan: Plan, run_select: Select, pool: Path) -> None:
    run_select(**request(pool))
    other = {"manual": str(DEMO / "targets" / "sqlite_manual.jsonl")}
    found = plan(**request(pool, target=other, overwrite=True))
    assert found.stages["count"].reused == found.stages["count"].shards - 1
    assert found.stages["score"].reused is None


def test_a_file_more_costs_its_counts(plan: Plan, run_select: Select, pool: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(pool, raw / "a.jsonl")
    run_select(**request(raw))
    shutil.copy(DEMO / "targets" / "speeches.jsonl", raw / "b.jsonl")
    found = plan(**request(raw, overwrite=True))
    assert found.stages["count"].reused == found.stages["count"].shards - 1


def test_nothing_stays_written(plan: Plan, run_select: Select, pool: Path, tmp_path: Path) -> None:
    plan(**request(pool, output=str(tmp_path / "deep" / "down"), workdir=str(tmp_path / "new" / "work")))
    assert tree(tmp_path) == {}
    run_select(**request(pool, refit="auto"))
    before = tree(tmp_path)
    plan(**request(pool, refit="auto", overwrite=True))
    assert {name: at for name, at in tree(tmp_path).items() if (tmp_path / name).is_file()} == {
        name: at for name, at in before.items() if (tmp_path / name).is_file()
    }


def test_checks_that_fail_say_why(plan: Plan, run_select: Select, pool: Path, tmp_path: Path) -> None:
    run_select(**request(pool))
    (tmp_path / "file").touch()
    found = plan(**request(pool, workdir=str(tmp_path / "file" / "work")))
    failed = {check.what: check.detail for check in found.checks if not check.ok}
    assert set(failed) == {"write workdir", "output free"}
    assert "NotADirectoryError" in failed["write workdir"]
    assert "--overwrite" in failed["output free"]
    assert not found.can_run


def test_storage_that_lets_nobody_in_is_a_check_that_fails(
    plan: Plan, pool: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    url = "s3://bucket/output"
    found = plan(**request(pool, output=url, workdir=f"{url}.work", s3_endpoint="http://127.0.0.1:9"))
    failed = {check.what: check.detail for check in found.checks if not check.ok}
    assert set(failed) == {"write workdir", "write output", "output free"}
    assert failed["write workdir"].startswith("bucket 'bucket': no credentials found")
    assert found.raw.documents is not None


def test_a_run_without_an_eligible_document_is_a_check_that_fails(plan: Plan, pool: Path) -> None:
    found = plan(**request(pool, min_tokens=1_000_000))
    (failed,) = [check for check in found.checks if not check.ok]
    assert (failed.what, failed.detail) == (
        "eligible documents",
        f"of {found.raw.documents.value:,.0f} documents in raw, none with 1,000,000 tokens or more",  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (9_999.4, "9,999"), (9_999.6, "10 k"), (12_345, "12.3 k"), (999_499, "999 k"), (999_600, "1 M"),
     (999_999_999, "1 G"), (2.5e15, "2500 T")],
)  # fmt: skip
def test_large_figures_have_three_digits(value: float, shown: str) -> None:
    assert human_count(value) == shown


def test_damage_in_the_sample_is_a_check_that_fails(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a b c"}\n' * 1000)[:-20])
    found = plan(**request(path))
    (failed,) = [check for check in found.checks if not check.ok]
    assert failed.what == "read a sample of raw"
    assert str(path) in failed.detail


def test_a_field_that_is_not_there_is_answered_with_those_that_are(plan: Plan, tmp_path: Path) -> None:
    record = {"id": "7", "content": "much longer than the others", "meta": {"texts": "x"}, "n": 1}
    (tmp_path / "raw.jsonl").write_text((json.dumps(record) + "\n") * 50)
    found = plan(**request(tmp_path / "raw.jsonl"))
    assert said(found.warnings, "no field 'text'; is it 'meta.texts' or 'content' or 'id'? Set --text-field")
    assert not found.can_run
    assert said([check.detail for check in found.checks if not check.ok], "the run would fail. First raw.jsonl at 0")
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "raw.parquet")
    found = plan(**request(tmp_path / "raw.parquet"))
    assert "'body'" in next(check.detail for check in found.checks if not check.ok)


def test_a_few_bad_records_are_not_taken_for_another_field(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text('{"text": "a b c d"}\n' * 50 + '{"content": "a"}\n')
    assert not said(plan(**request(tmp_path / "raw.jsonl")).warnings, "no field")


def test_short_documents_are_warned_of(plan: Plan, pool: Path) -> None:
    assert said(plan(**request(pool, min_tokens=20_000)).warnings, "--min-tokens 20000 meant")
    assert not said(plan(**request(pool)).warnings, "--min-tokens")


def test_more_than_there_is_is_warned_of(plan: Plan, pool: Path) -> None:
    assert said(plan(**request(pool, count=1_000_000)).warnings, "none will be left out")
    assert said(plan(**request(pool, count=2_600)).warnings, "much like raw")


def test_one_document_is_no_documents(plan: Plan, tmp_path: Path) -> None:
    text = "five little words of text"
    raw, target = tmp_path / "raw.jsonl", tmp_path / "target.jsonl"
    raw.write_text(json.dumps({"text": text}) + "\n")
    target.write_text(json.dumps({"text": text}) + "\n")
    few = {"raw": str(raw), "target": {"t": str(target)}, "smoothing": 0.0}
    found = plan(**few, count=2, min_tokens=1)
    assert said(found.warnings, "raw has only about 1 eligible document:")
    assert said(found.warnings, "1 of 1 document.")
    short = plan(**few, count=1)
    assert said(short.warnings, "of 1 document in the sample, 0 with")
    assert said([check.detail for check in short.checks], "of 1 document in raw, none with")
    raw.write_text("{}\n")
    assert said([check.detail for check in plan(**few, count=1).checks], "1 of 1 record, more than")


def test_a_small_target_is_warned_of_unless_it_is_smoothed(plan: Plan, pool: Path) -> None:
    assert said(plan(**request(pool, smoothing=0.0)).warnings, "'speeches' is small")
    for smoothing in ("auto", {"raw_prior": 10_000}):
        assert not said(plan(**request(pool, smoothing=smoothing)).warnings, "is small")


def test_a_size_beyond_what_raw_holds_of_the_kind_is_warned_of(plan: Plan, pool: Path) -> None:
    found = plan(**request(pool))
    assert found.recovery["speeches"]["recovered"] > 0.9
    assert not said(found.warnings, "select fewer")
    assert said(plan(**request(pool, count=500)).warnings, "select fewer")


def test_where_documents_are_cut_recovery_is_that_of_chunks_of_the_target(plan: Plan, pool: Path) -> None:
    """Speeches are far longer than a chunk: whole ones would be told from chunks of raw by nothing else."""
    settings = {"chunk": {"words": 100}, "min_tokens": 30}
    hidden = plan(**request(pool, **settings)).recovery["speeches"]["documents"]
    assert hidden > 3 * plan(**request(pool)).recovery["speeches"]["documents"]


def test_the_time_of_measuring_recovery_is_part_of_the_estimate(plan: Plan, pool: Path) -> None:
    found = plan(**request(pool))
    assert list(found.stages) == ["count", "recover", "score", "resample", "write", "report"]
    assert found.stages["recover"].seconds > 0
    assert found.seconds is not None
    assert found.seconds.value == pytest.approx(sum(stage.seconds for stage in found.stages.values()))
    assert "recover" not in plan(**request(pool, method="random")).stages


@pytest.mark.parametrize("settings", [{"dedup": "exact"}, {"exclude_target_copies": True}], ids=str)
def test_the_time_of_marking_copies_is_part_of_the_estimate(plan: Plan, pool: Path, settings: Any) -> None:
    found = plan(**request(pool, **settings))
    assert list(found.stages) == ["count", "recover", "score", "mark", "resample", "write", "report"]
    assert found.stages["mark"].seconds > 0
    assert found.seconds is not None
    assert found.seconds.value == pytest.approx(sum(stage.seconds for stage in found.stages.values()))
    assert "mark" not in plan(**request(pool)).stages


def test_hashing_takes_its_time_in_score_and_of_targets_in_mark() -> None:
    amount = Amount({"jsonl": 1e9}, 8)
    plain, hashing = ({"jsonl": Speed(1e-9, 2e-9, 3e-9, hashed)} for hashed in (0.0, 4e-9))
    assert score_seconds(hashing, amount, 2) - score_seconds(plain, amount, 2) == pytest.approx(2)
    alone = mark_seconds(hashing, 1e6, 0, 8, 2)
    assert alone == pytest.approx(1e6 * MARK_SECONDS / 2 + 16 * SHARD_SECONDS)
    assert mark_seconds(hashing, 1e6, 1e9, 8, 2) - alone == pytest.approx(2.5)


def test_a_target_that_raw_looks_like_everywhere_is_warned_of(plan: Plan, pool: Path, tmp_path: Path) -> None:
    lines = pool.read_text().splitlines(keepends=True)
    (tmp_path / "t.jsonl").write_text("".join(lines[::25]))
    found = plan(**request(pool, target={"everything": str(tmp_path / "t.jsonl")}))
    assert found.recovery["everything"]["auc"] < 0.6
    assert said(found.warnings, "cannot tell the target from raw")


def test_no_advice_is_given_that_costs_precision(plan: Plan, pool: Path) -> None:
    """Spreading the weights of whole documents lowers precision from 58 % to 17 % (docs/quality.md)."""
    for settings in ({}, {"preset": "reference"}):
        assert not said(plan(**request(pool, **settings)).warnings, "target-ess")


def test_the_effective_sample_size_of_a_whole_corpus_is_that_of_its_run(
    plan: Plan, run_select: Select, pool: Path
) -> None:
    for settings in ({}, {"temperature": 300.0}, {"length_normalise": "tokens", "smoothing": 1.0}):
        report = run_select(**request(pool, overwrite=True, **settings))
        found = plan(**request(pool, overwrite=True, **settings))
        assert found.effective_sample_size == pytest.approx(report["weights"]["effective_sample_size"], rel=1e-6)


def test_a_target_inside_raw_is_warned_of(plan: Plan, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(DEMO / "raw", raw)
    assert not said(plan(**request(raw)).warnings, "word for word")
    shutil.copy(DEMO / "targets" / "speeches.jsonl", raw / "b.jsonl")
    assert said(plan(**request(raw)).warnings, "word for word, in the sample: 60 of 2,790 documents")
    assert not said(plan(**request(raw, exclude_target_copies=True)).warnings, "word for word")


def test_scripts_without_spaces_are_warned_of(plan: Plan, pool: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "吾輩は猫である。名前はまだ無い。" * 20}) + "\n")
    target = {"neko": str(tmp_path / "t.jsonl")}
    assert said(plan(**request(pool, target=target, tokenizer="wordpunct")).warnings, "--tokenizer unicode")
    assert not said(plan(**request(pool, target=target, tokenizer="unicode")).warnings, "--tokenizer")


def test_the_size_of_a_selection_follows_from_each_way_to_ask(plan: Plan, pool: Path) -> None:
    def documents(**size: Any) -> float:
        found = plan(raw=str(pool), target=SPEECHES, **size).selection
        assert found is not None
        return round(found.documents)

    assert documents(count=70) == 70
    assert documents(fraction=0.5) == round(0.5 * 2_730)
    assert 10 < documents(tokens=20_000) < 60
    assert documents(strata="label", quotas={"a": 10, "b": 20}) == 30
    assert plan(raw=str(pool), target=SPEECHES).selection is None
