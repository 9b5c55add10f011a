"""What the report shows of documents, in real runs: the same whatever the shards, and where it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from dsir_core.resampling.candidates import KINDS, N_CANDIDATES
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
        assert ((example["file"], example["position"]) in chosen) == (example["kind"] == "selected")
        line = (pool / example["file"]).read_bytes()[example["position"] :].partition(b"\n")[0]
        assert json.loads(line)["text"].startswith(example["text"])
        assert len(example["text"]) <= 600
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
