"""What a user is promised of `dsir compare`: the figures of the selections it stands for, without making them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import compare_methods, select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.compare import METHODS
from dsir_core.stages.run import Run
from flows.summary import print_comparison
from tests.browser import ask
from tests.integration.conftest import DEMO, demo_records

TARGETS = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code")}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the demo's raw corpus with a label in each record, some of it what a page must escape."""
    labels = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    path = tmp_path_factory.mktemp("labelled") / "raw.jsonl"
    names = {**{name: name for name in labels.values()}, "bible": "<script>alert(1)</script>"}
    path.write_text("".join(json.dumps({**r, "domain": names[labels[r["id"]]]}) + "\n" for r in demo_records()[::3]))
    return path


def compared(folder: Path, labels: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    values = {"output": str(folder / "compared"), "workdir": str(folder / "workdir"), "strata": "domain", **settings}
    return compare_methods(Run(parse_config(values), InlineExecutor()), labels)


def selected(folder: Path, method: str, **settings: Any) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """The report of the selection by a method, and its rows: file, position, offset, target, stratum."""
    output = folder / method
    values = {"output": str(output), "workdir": str(folder / "other"), "strata": "domain", "method": method, **settings}
    report = select(Run(parse_config(values), InlineExecutor()))
    rows = pq.read_table(output / "selected.parquet").to_pylist()
    return report, [(r["file"], r["position"], r.get("offset"), r["target"], r["stratum"]) for r in rows]


@pytest.mark.parametrize(
    "settings",
    [
        {"target": TARGETS, "count": 70},
        {"target": TARGETS, "tokens": 40_000, "separate": True, "length_normalise": "sqrt", "shard_bytes": 300_000},
        {"target": TARGETS, "count": 90, "match": True, "target_ess": 0.05},
        {"target": TARGETS, "count": 120, "chunk": {"words": 128}, "min_tokens": 50, "shard_bytes": 300_000},
        {"target": TARGETS, "count": 60, "separate": True, "quotas": {"speeches": 1, "go_code": 2}},
    ],
    ids=["pooled", "separate", "match", "pieces", "quotas"],
)
def test_figures_are_those_of_the_selections(labelled: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    asked = {"raw": [str(labelled)], "seed": 5, **settings}
    found = compared(tmp_path, ("speeches", "go_code"), **asked)
    rows: dict[str, set[tuple[Any, ...]]] = {}
    for method in METHODS:
        report, listed = selected(tmp_path, method, **asked)
        figures = found["methods"][method]
        assert figures["documents"] == report["documents"]["selected"] == len(listed)
        assert figures["tokens"] == report["tokens"]["selected"]
        assert figures["kl_reduction"] == report["kl_reduction"]
        for name, target in report["targets"].items():
            assert figures["targets"][name] == {key: target[key] for key in ("selected", "kl_selected", "kl_reduction")}
            assert found["targets"][name]["kl_raw"] == target["kl_raw"]
        assert figures["labels"] == dict(Counter(row[-1] for row in listed))
        kinds = Counter(row[-1] for row in listed)
        assert figures["precision"] == pytest.approx((kinds["speeches"] + kinds["go_code"]) / len(listed))
        rows[method] = {row[:3] for row in listed}
        if method == "top-k" and not settings.get("quotas"):  # what the report says of the same ranking
            found_of = {name: round(each["recovered"] * each["documents"]) for name, each in report["recovery"].items()}
            n = sum(each["documents"] for each in report["recovery"].values())
            assert figures["recovery"]["documents"] == n
            assert figures["recovery"]["recovered"] == pytest.approx(sum(found_of.values()) / n)
        if method == "importance":
            sizes = report["weights"]["effective_sample_sizes"]
            assert figures["effective_sample_sizes"] == pytest.approx(sizes, rel=1e-12)
        assert found["documents"] == {"raw": report["documents"]["raw"], "eligible": report["documents"]["eligible"]}
        for label, eligible in found["labels"]["eligible"].items():
            assert eligible == report["strata"][label]["eligible"]
    for method in METHODS:
        for other in METHODS:
            assert found["overlap"][method][other] == len(rows[method] & rows[other]) / len(rows[method])
    assert found["methods"]["top-k"]["effective_sample_size"] is None
    assert found["methods"]["random"]["effective_sample_size"] == pytest.approx(found["documents"]["eligible"])
    assert 1 < found["methods"]["heuristic"]["effective_sample_size"] < found["documents"]["eligible"]


def test_settings_that_are_auto_are_tuned_as_for_a_selection(labelled: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": TARGETS, "count": 70, "separate": True}
    asked |= {"smoothing": "auto", "length_normalise": "auto", "min_tokens": 0}
    found = compared(tmp_path, **asked)
    report, _ = selected(tmp_path, "importance", **asked)
    assert found["methods"]["importance"]["kl_reduction"] == report["kl_reduction"]
    # Each of the two that measure recovery has its own figures; the second finds the samples of the first.
    assert found["stages"]["recover"]["reused"] == 0
    assert found["stages"]["recommend"]["reused"] == found["stages"]["recommend"]["shards"] > 0


def test_a_comparison_is_the_same_in_all_shards_and_reuses_what_is_there(labelled: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": TARGETS, "count": 70}
    first = compared(tmp_path, **asked)
    again = compared(tmp_path, **asked, overwrite=True)
    assert again["stages"]["compare"]["reused"] == again["stages"]["compare"]["shards"] > 0
    other = compared(tmp_path, **asked, overwrite=True, shard_bytes=100_000)
    assert other["stages"]["compare"]["shards"] > 10
    for figures in (again, other):
        assert figures["overlap"] == first["overlap"]
        assert figures["methods"].keys() == first["methods"].keys()
        for method, mine in figures["methods"].items():
            theirs = first["methods"][method]
            same = mine.keys() - {"effective_sample_size", "effective_sample_sizes"}
            assert {key: mine[key] for key in same} == {key: theirs[key] for key in same}
            assert mine["effective_sample_sizes"] == pytest.approx(theirs["effective_sample_sizes"], rel=1e-12)
    larger = compared(tmp_path, **{**asked, "count": 100}, overwrite=True)
    assert larger["stages"]["score"]["reused"] == larger["stages"]["score"]["shards"]


def test_a_comparison_leaves_the_run_it_is_given_as_it_is(labelled: Path, tmp_path: Path) -> None:
    values = {"raw": [str(labelled)], "target": TARGETS, "count": 20, "method": "top-k"}
    run = Run(parse_config({**values, "output": str(tmp_path / "compared")}), InlineExecutor())
    config, manifest = run.config, run.manifest
    compare_methods(run)
    assert (run.config, run.manifest) == (config, manifest)
    assert run.config.method == "top-k"


@pytest.mark.browser
def test_the_page_shows_it_and_escapes_labels(labelled: Path, tmp_path: Path) -> None:
    found = compared(tmp_path, ("speeches",), raw=[str(labelled)], target={"a<b": TARGETS["speeches"]}, count=70)
    written = json.loads((tmp_path / "compared" / "compare.json").read_text())
    assert written == json.loads(json.dumps(found))
    page = tmp_path / "compared" / "compare.html"
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a&lt;b" in text
    for method in found["methods"].values():
        assert f"{method['precision']:.1%}" in text
    for width in (390, 1400):
        seen = ask(
            page,
            "const wide = [...document.querySelectorAll('svg text')].filter(t => {"
            " const box = t.getBoundingClientRect(), svg = t.closest('svg').getBoundingClientRect();"
            " return box.left < svg.left - 1 || box.right > svg.right + 1; });"
            "const figure = [...document.querySelectorAll('th')].find(th => th.textContent === 'recovery');"
            "return [document.documentElement.scrollWidth <= window.innerWidth"
            " && figure.getBoundingClientRect().right <= window.innerWidth, wide.map(t => t.textContent),"
            " document.querySelectorAll('svg').length, window.performance.getEntriesByType('resource').length]",
            width=width,
        )
        assert seen == [True, [], 2, 0]


def test_a_method_is_recommended_by_what_it_recovers_or_by_labels(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": {"speeches": TARGETS["speeches"]}, "count": 70}
    found = compared(tmp_path, **asked)
    recommendation = found["recommendation"]
    assert (recommendation["method"], recommendation["by"]) == ("importance", "recovery")
    assert "top-k" in recommendation["equal"]
    assert "heuristic" not in recommendation["equal"]
    recovered = {method: each["recovery"]["recovered"] for method, each in found["methods"].items()}
    assert recovered["random"] < 0.2 < recovered["heuristic"] < recovered["importance"]
    for figures in found["methods"].values():
        assert figures["recovery"]["low"] <= figures["recovery"]["recovered"] <= figures["recovery"]["high"]
    assert f"{recovered['importance']:.0%} of 60 hidden target documents recovered" in recommendation["reason"]
    assert "Recommended: importance." in (tmp_path / "compared" / "compare.html").read_text()
    print_comparison(parse_config({**asked, "output": str(tmp_path / "compared")}), found)
    assert f"recommended: importance: {recommendation['reason']}" in " ".join(capsys.readouterr().out.split())
    by_label = compared(tmp_path, ("speeches",), **asked, overwrite=True)
    assert (by_label["recommendation"]["method"], by_label["recommendation"]["by"]) == ("importance", "precision")


def test_nothing_selected_is_shown_too(labelled: Path, tmp_path: Path) -> None:
    found = compared(tmp_path, raw=[str(labelled)], target=TARGETS, tokens=1)
    assert {method["documents"] for method in found["methods"].values()} == {0}
    assert found["methods"]["importance"]["kl_reduction"] is None
    assert "–" in (tmp_path / "compared" / "compare.html").read_text()


def test_a_comparison_that_is_there_is_kept_and_a_selection_beside_it_is_untouched(
    labelled: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": TARGETS, "count": 20}
    values = {**asked, "output": str(tmp_path / "compared"), "workdir": str(tmp_path / "workdir")}
    select(Run(parse_config(values), InlineExecutor()))
    before = {path: path.read_bytes() for path in (tmp_path / "compared").iterdir()}
    compared(tmp_path, **asked)
    assert all(path.read_bytes() == content for path, content in before.items())
    with pytest.raises(RequestError, match="holds a comparison"):
        compared(tmp_path, **asked)


def test_a_label_that_no_document_has_is_refused_with_the_values_that_there_are(labelled: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": TARGETS, "count": 20}
    said = (
        r"target_label: no eligible document has 'speech' as its domain; did you mean speeches\? \(there are .* more\)"
    )
    with pytest.raises(RequestError, match=said):
        compared(tmp_path, ("speech",), **asked)
    found = compared(tmp_path, ("speech", "speeches"), **asked)
    assert any("no eligible document has 'speech'" in note for note in found["notes"])
    assert found["labels"]["target"] == ["speech", "speeches"]


def test_labels_without_a_field_are_refused_before_any_work(labelled: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(labelled)], "target": TARGETS, "count": 20, "strata": None}
    with pytest.raises(RequestError, match=r"--target-label: name the field .* with --strata"):
        compared(tmp_path, ("speeches",), **asked)
    assert not (tmp_path / "workdir").exists()


def test_scores_from_elsewhere_are_compared_as_importance(labelled: Path, tmp_path: Path) -> None:
    scored = tmp_path / "scored.jsonl"
    lines = [json.loads(line) for line in labelled.read_text().splitlines()]
    scored.write_text("".join(json.dumps({**line, "score": i % 97}) + "\n" for i, line in enumerate(lines)))
    asked: dict[str, Any] = {"raw": [str(scored)], "target": TARGETS, "count": 20, "weights": {"column": "score"}}
    found = compared(tmp_path, **asked)
    report, rows = selected(tmp_path, "top-k", **asked)
    assert found["methods"]["top-k"]["kl_reduction"] == report["kl_reduction"]
    assert found["methods"]["heuristic-top-k"]["kl_reduction"] != report["kl_reduction"]
    assert len(rows) == found["methods"]["top-k"]["documents"] == 20
    assert np.isfinite(found["methods"]["importance"]["effective_sample_size"])
    assert found["methods"]["importance"]["recovery"] is None
    assert found["recommendation"]["method"] is None
    assert "cannot be measured" in found["recommendation"]["reason"]
