"""Scores from elsewhere: the same selection from a field, from a table, and from any cut of the corpus."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.manifest import of_runs
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError, RunFailedError
from tests.integration.conftest import DEMO, TARGET, Select, demo_records


@pytest.fixture
def scored(tmp_path: Path) -> list[dict[str, Any]]:
    """The demo's records with scores, as four JSONL files under `raw`, and as `scores.parquet`."""
    rng = random.Random(0)
    records = [{**record, "key": i, "score": rng.gauss(0, 3)} for i, record in enumerate(demo_records())]
    (tmp_path / "raw").mkdir()
    for part in range(4):
        lines = [json.dumps(record) + "\n" for record in records[part::4]]
        (tmp_path / "raw" / f"{part}.jsonl").write_text("".join(lines))
    rows = records[:]
    rng.shuffle(rows)
    pq.write_table(
        pa.table({"key": [r["key"] for r in rows], "score": [r["score"] for r in rows]}), tmp_path / "scores.parquet"
    )
    return records


def chosen(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for part in sorted(output.glob("part-*")) for line in part.read_text().splitlines()]


def test_the_best_scores_are_chosen_whether_they_stand_in_the_record_or_in_a_table(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"raw": [str(tmp_path / "raw")], "target": TARGET, "count": 80, "method": "top-k"}
    in_record = run_select(**asked, weights={"column": "score"}, min_tokens=0)
    found = chosen(tmp_path / "output")
    best = sorted(scored, key=lambda record: -record["score"])[:80]
    assert {record["key"] for record in found} == {record["key"] for record in best}
    table = {"column": "score", "table": str(tmp_path / "scores.parquet"), "key": "key"}
    for shard_bytes in (50_000, 10**8):
        joined = run_select(**asked, weights=table, min_tokens=0, shard_bytes=shard_bytes, overwrite=True)
        assert joined["selection_digest"] == in_record["selection_digest"]
    assert joined["targets"]["speeches"]["kl_raw"] == in_record["targets"]["speeches"]["kl_raw"]
    again = run_select(**asked, weights=table, min_tokens=0, overwrite=True)
    assert again["stages"]["join"]["reused"] == again["stages"]["join"]["shards"]
    entries = Store(str(tmp_path / "workdir")).entries()
    assert of_runs(entries) == entries  # what `dsir clean` does not know it can never remove


def test_a_coefficient_adds_the_score_to_the_ngrams_weight(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"raw": [str(tmp_path / "raw")], "target": TARGET, "count": 2730, "min_tokens": 0}

    def weights(**settings: Any) -> dict[tuple[str, int], float]:
        run_select(**asked, **settings, overwrite=True)
        rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
        return {(row["file"], row["position"]): row["log_weight"] for row in rows}

    plain = weights()
    score = weights(weights={"column": "score"})
    both = weights(weights={"column": "score", "ngram": 0.5, "external": 2.0})
    assert both == {place: 0.5 * plain[place] + 2.0 * score[place] for place in plain}


def test_documents_without_a_usable_score_are_counted_named_and_not_chosen(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    kept = [record for record in scored if record["key"] % 10]
    rows = [*((r["key"], r["score"]) for r in kept), (1, 1e9), (2, None)]
    pq.write_table(pa.table({"key": [r[0] for r in rows], "score": [r[1] for r in rows]}), tmp_path / "scores.parquet")
    table = {"column": "score", "table": str(tmp_path / "scores.parquet"), "key": "key"}
    report = run_select(raw=[str(tmp_path / "raw")], target=TARGET, count=2730, min_tokens=0, weights=table)
    found = report["weights"]["unscored"]
    assert found["reasons"] == {"key is not in the table": 273}
    assert found["duplicate_keys"] == 2
    first = found["first"][0]
    line = (tmp_path / "raw" / first["path"]).read_bytes()[first["position"] :].splitlines()[0]
    assert json.loads(line)["key"] % 10 == 0
    assert report["documents"]["selected"] == len(kept) == 2730 - report["documents"]["ineligible"]
    assert {record["key"] for record in chosen(tmp_path / "output")} == {record["key"] for record in kept}
    assert any("273 documents without a usable score" in note for note in report["notes"])


@pytest.mark.parametrize("fit_ngrams", ["all", 1000])
def test_a_damaged_file_is_left_out_where_it_may_be_before_or_after_a_sample_has_met_it(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path, fit_ngrams: Any
) -> None:
    rows = [record for record in scored if record["key"] % 4 == 3]
    (tmp_path / "raw" / "3.jsonl").unlink()
    damaged = tmp_path / "raw" / "3.parquet"
    pq.write_table(pa.Table.from_pylist(rows), damaged, row_group_size=20, write_page_checksum=True)
    about = pq.read_metadata(damaged)
    last = about.row_group(about.num_row_groups - 1)
    texts = next(last.column(i) for i in range(last.num_columns) if last.column(i).path_in_schema == "text")
    with damaged.open("r+b") as stream:
        stream.seek((texts.dictionary_page_offset or texts.data_page_offset) + texts.total_compressed_size // 2)
        stream.write(b"damage")
    table = {"column": "score", "table": str(tmp_path / "scores.parquet"), "key": "key"}
    asked: dict[str, Any] = {
        "raw": [str(tmp_path / "raw")], "target": TARGET, "count": 3000, "min_tokens": 0, "weights": table,
        "fit_ngrams": fit_ngrams, "shard_bytes": 10**6,
    }  # fmt: skip
    with pytest.raises(RunFailedError, match=r"3\.parquet.*--max-bad-shards 1"):
        run_select(**asked)
    report = run_select(**asked, max_bad_shards=1)
    assert list(report["damaged"]) == ["3.parquet"]
    assert sum("left out" in note for note in report["notes"]) == 1
    found = Counter(pq.read_table(tmp_path / "output" / "selected.parquet")["file"].to_pylist())
    assert all(found[f"{i}.jsonl"] == sum(record["key"] % 4 == i for record in scored) for i in range(3))
    assert found["3.parquet"] < len(rows)


def test_a_request_for_scores_that_are_not_there_is_refused_by_name(run_select: Select, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="give both, or neither"):
        parse_config({"raw": "a", "target": "b", "output": "c", "count": 1, "weights": {"column": "s", "table": "t"}})
    with pytest.raises(RequestError, match=r"nowhere\.parquet"):
        run_select(
            raw=[str(DEMO / "raw" / "pool-1.jsonl")],
            target=TARGET,
            count=5,
            weights={"column": "s", "table": str(tmp_path / "nowhere.parquet"), "key": "id"},
        )


def test_where_no_document_has_a_score_the_error_says_so(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RunFailedError, match=r"2,730 have no usable score \(2,730 missing\).*--weights"):
        run_select(raw=[str(tmp_path / "raw")], target=TARGET, count=5, weights={"column": "scroe"})


def test_conditions_that_keep_out_everything_are_named(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="keep out all 2,730 readable records"):
        run_select(raw=[str(tmp_path / "raw")], target=TARGET, count=5, include="lagn == 'en'")


def test_a_column_that_is_not_there_is_told_with_the_settings_that_may_name_it(
    run_select: Select, scored: list[dict[str, Any]], tmp_path: Path
) -> None:
    pq.write_table(pa.Table.from_pylist(scored), tmp_path / "raw.parquet")
    for more in ({"strata": "scroe"}, {"include": "scroe > 1"}, {"weights": {"column": "scroe"}}):
        with pytest.raises(
            RequestError, match=r"no column 'scroe'; is it 'score'\?.*include, exclude, strata, weights"
        ):
            run_select(raw=[str(tmp_path / "raw.parquet")], target=TARGET, count=5, **more)


@pytest.mark.parametrize(
    "scores", [[2.0**60], [0.0, 1e-307], [-1.5e308, 0.0, 1.5e308]], ids=["all equal", "a tiny range", "a huge range"]
)
def test_scores_of_any_size_make_a_report(run_select: Select, tmp_path: Path, scores: list[float]) -> None:
    records = [{"text": f"some words {i}", "score": scores[i % len(scores)]} for i in range(30)]
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps(record) + "\n" for record in records))
    asked: dict[str, Any] = {"target": TARGET, "count": 10, "min_tokens": 0, "method": "top-k"}
    report = run_select(raw=[str(raw)], weights={"column": "score"}, **asked)
    histogram = report["histograms"]["speeches"]
    assert sum(histogram["raw"]) == 30
    assert sum(histogram["selected"]) == 10
    page = (tmp_path / "output" / "report.html").read_text()
    assert ("<h2>Log weights</h2>" in page) == (len(scores) == 1)
    assert "Quantiles of the log weights" in page
