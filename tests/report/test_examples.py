"""What the report shows of documents, in real runs: the same whatever the shards, and where it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.report.explained import levels_of
from dsir_core.report.html import render
from dsir_core.resampling.candidates import KINDS, N_CANDIDATES
from dsir_core.shards.examples import heaviest
from tests.integration.conftest import demo_records
from tests.report.conftest import Figures, Select


def test_what_the_report_shows_does_not_depend_on_shards(run_select: Select, figures: Figures, pool: Path) -> None:
    again = run_select("small shards", count=100, shard_bytes=50_000)
    for key in ("rates", "weights", "selection_digest", "examples"):
        assert again[key] == figures[key], key
    for side in ("raw", "selected"):
        assert sum(again["histograms"]["speeches"][side]) == sum(figures["histograms"]["speeches"][side])


def test_examples_are_what_they_are_called_and_stand_where_it_says(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    report = run_select("examples", count=100, output=str(tmp_path / "o"))
    chosen = {(row["file"], row["position"]) for row in pq.read_table(tmp_path / "o" / "selected.parquet").to_pylist()}
    kinds = Counter(example["kind"] for example in report["examples"])
    assert kinds == dict.fromkeys(KINDS, N_CANDIDATES)
    for example in report["examples"]:
        assert ((example["file"], example["position"]) in chosen) == (example["kind"] in ("selected", "barely"))
        line = (pool / example["file"]).read_bytes()[example["position"] :].partition(b"\n")[0]
        assert json.loads(line)["text"][example["start"] :].startswith(example["text"])
        assert 0 < len(example["text"]) <= 600
        assert sum(n for n, _ in example["levels"]) == len(example["text"])
        assert example["fields"] == {}
    rows = pq.read_table(tmp_path / "o" / "selected.parquet").to_pylist()
    barely = [example["key"] for example in report["examples"] if example["kind"] == "barely"]
    assert barely == sorted(row["key"] for row in rows)[:N_CANDIDATES]
    missed = [example["key"] for example in report["examples"] if example["kind"] == "missed"]
    assert missed == sorted(missed, reverse=True)
    assert all(key <= example["threshold"] for key, example in zip(missed, report["examples"], strict=False))


def test_figures_agree_with_each_other(figures: Figures) -> None:
    documents = figures["documents"]
    for by in figures["rates"].values():
        groups = by["groups"]
        assert sum(group["documents"] for group in groups) == documents["readable"]
        assert sum(group["eligible"] for group in groups) == documents["eligible"]
        assert sum(group["selected"] for group in groups) == documents["selected"]
    histogram = figures["histograms"]["speeches"]
    assert sum(histogram["raw"]) == documents["eligible"]
    assert sum(histogram["selected"]) == documents["selected"]
    assert sum(histogram["targets"]["speeches"]) == figures["targets"]["speeches"]["documents"]
    assert sum(figures["ineligible"]["reasons"].values()) == documents["ineligible"]


def test_strata_have_rates_and_thresholds_of_their_own(run_select: Select) -> None:
    report = run_select("quotas", count=60, strata="shelf", quotas={"shelf 0": 1, "shelf 2": 3})
    groups = {group["name"]: group["selected"] for group in report["rates"]["strata"]["groups"]}
    assert groups == {"shelf 0": 15, "shelf 1": 0, "shelf 2": 45}
    assert len(report["histograms"]["speeches"]["thresholds"]) == 2
    missed = [example for example in report["examples"] if example["kind"] == "missed"]
    assert missed
    assert all(example["key"] <= example["threshold"] for example in missed)


def test_thresholds_are_log_weights_whatever_the_temperature(run_select: Select) -> None:
    plain, warm = (
        run_select(f"warm-{t}", count=50, method="top-k", temperature=t)["histograms"]["speeches"]["thresholds"]
        for t in (1.0, 3.0)
    )
    assert warm == plain


def test_a_selection_of_speeches_gains_their_words_and_loses_those_of_code(figures: Figures) -> None:
    moved = figures["moved"]
    names = {side: [one["ngrams"][0]["ngram"] for one in moved[side]] for side in ("gained", "lost")}
    assert {"of the", "government"} <= set(names["gained"])
    assert {"(", "=", "{"} <= set(names["lost"])
    assert all(one["selected"] > one["raw"] for one in moved["gained"])
    assert all(one["selected"] < one["raw"] for one in moved["lost"])
    assert any(one["distinct"] > 1 for one in moved["gained"])


def test_fields_of_the_records_are_shown_and_missing_ones_are_not(run_select: Select, tmp_path: Path) -> None:
    report = run_select("fields", count=20, example_fields=("id", "shelf", "none"))
    for example in report["examples"]:
        assert example["fields"].keys() == {"id", "shelf"}
    page = render(report)
    assert f"id <strong>{report['examples'][0]['fields']['id']}</strong>" in page
    again = run_select("fields", count=20, example_fields="id", overwrite=True)
    assert again["stages"]["resample"]["reused"] == again["stages"]["resample"]["shards"]


def test_a_column_that_is_not_there_does_not_end_the_run(run_select: Select, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(demo_records()[:400]), tmp_path / "raw.parquet")
    asked = {"raw": (str(tmp_path / "raw.parquet"),), "count": 5, "example_fields": ("id", "url")}
    report = run_select("columns", workdir=str(tmp_path / "w"), **asked)
    assert {tuple(example["fields"]) for example in report["examples"]} == {("id",)}


def test_passages_of_chunks_stand_in_the_chunks(run_select: Select, tmp_path: Path, pool: Path) -> None:
    report = run_select("chunked", count=30, chunk={"words": 200}, example_fields="id", workdir=str(tmp_path))
    for example in report["examples"]:
        line = (pool / example["file"]).read_bytes()[example["position"] :].partition(b"\n")[0]
        record = json.loads(line)
        chunk = record["text"].encode()[example["offset"] :].decode()
        assert chunk[example["start"] :].startswith(example["text"])
        assert example["fields"]["id"] == record["id"]


TOKENS = [(0, 3), (4, 8), (9, 12), (13, 20), (21, 24)]


@pytest.mark.parametrize(
    ("weights", "characters", "expected"),
    [
        ([1, 1, 1, 5, 5], 12, (3, 5)),
        ([1, -9, -9, 5, 5], 12, (1, 3)),
        ([0, 0, 0, 9, 0], 3, (3, 4)),  # a token that is longer than a passage
        ([1, 1, 1, 1, 1], 100, (0, 5)),
    ],
)
def test_the_heaviest_passage_is_the_one_whose_tokens_weigh_most(
    weights: list[float], characters: int, expected: tuple[int, int]
) -> None:
    assert heaviest(np.array(TOKENS, np.int64), np.array(weights, np.float64), characters) == expected
    assert heaviest(np.empty((0, 2), np.int64), np.empty(0), characters) == (0, 0)


def test_fragments_of_a_passage_make_the_whole_of_it() -> None:
    spans = [(1, 4), (4, 5), (4, 5), (7, 9)]
    found = list(levels_of(12, spans, np.array([1.0, -1.0, 0.5, 0.0])))
    assert [n for n, _ in found] == [1, 3, 1, 2, 2, 3]
    assert [level for _, level in found][:3] == [0, 6, -6]


def test_examples_escape_what_documents_hold(figures: Figures) -> None:
    hostile = json.loads(json.dumps(figures))
    text = "<script>alert(1)</script>"
    hostile["examples"][0] |= {"text": text, "levels": [[8, 3], [len(text) - 8, -2]], "fields": {text: text}}
    page = render(hostile)
    assert "<script" not in page
    assert '<span class="plus-3">&lt;script&gt;</span><span class="minus-2">alert(1)&lt;/script&gt;</span>' in page
