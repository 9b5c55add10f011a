"""What a user is promised of held-out recovery: parts of the target, documents that do not fit; whatever the shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsir_core.report.recovery import advice
from tests.integration.conftest import DEMO, Select, demo_records

TARGETS = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code")}


def test_target_documents_that_are_unlike_the_others_are_named(run_select: Select, pool: Path, tmp_path: Path) -> None:
    speeches = Path(TARGETS["speeches"]).read_text().splitlines(keepends=True)
    code = Path(TARGETS["go_code"]).read_text().splitlines(keepends=True)
    lines = [*speeches[:20], code[0], *speeches[20:], code[1]]
    places = [sum(len(line.encode()) for line in lines[:i]) for i in (20, len(lines) - 1)]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    report = run_select(raw=[str(pool)], target={"mixed": str(tmp_path / "t.jsonl")}, count=70)
    found = report["recovery"]["mixed"]["outliers"]
    assert found["documents"] == 2
    assert {(one["target"], one["file"], one["position"]) for one in found["first"]} == {
        ("mixed", "t.jsonl", place) for place in places
    }
    assert all(0.5 < one["above"] <= 1 for one in found["first"])
    assert any(
        "less like the other target documents than half of raw is: 2 of 62" in text for text in advice_on(report)
    )
    plain = run_select(raw=[str(pool)], target={"speeches": TARGETS["speeches"]}, count=70, overwrite=True)
    assert plain["recovery"]["speeches"]["outliers"] == {"documents": 0, "first": []}
    assert not any("less like the other target" in text for text in advice_on(plain))


def advice_on(report: dict[str, Any]) -> list[str]:
    return [text for name, found in report["recovery"].items() for text in advice(name, found)]


def test_recovery_is_told_of_each_pooled_target(run_select: Select, pool: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGETS, count=140)
    found = report["recovery"]["pooled"]
    assert {name: part["documents"] for name, part in found["targets"].items()} == {"speeches": 60, "go_code": 60}
    mean = sum(part["documents"] * part["recovered"] for part in found["targets"].values()) / 120
    assert found["recovered"] == pytest.approx(mean)
    assert found["strata"] == {}


def test_recovery_is_told_of_each_stratum_of_the_target(run_select: Select, tmp_path: Path) -> None:
    lines = [json.dumps({**record, "half": "ab"[i % 2]}) + "\n" for i, record in enumerate(demo_records()[:800])]
    (tmp_path / "raw.jsonl").write_text("".join(lines))
    speeches = [json.loads(line) for line in Path(TARGETS["speeches"]).read_text().splitlines()]
    (tmp_path / "target.jsonl").write_text(
        "".join(json.dumps({**record, "half": "ab"[i % 3 > 0]}) + "\n" for i, record in enumerate(speeches))
    )
    report = run_select(
        raw=[str(tmp_path / "raw.jsonl")],
        target={"t": str(tmp_path / "target.jsonl")},
        count=40,
        strata="half",
        quotas="target",
    )
    strata = report["recovery"]["t"]["strata"]
    assert {name: part["documents"] for name, part in strata.items()} == {"a": 20, "b": 40}


def test_recovery_does_not_depend_on_shards(run_select: Select, pool: Path, tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.mkdir()
    for name, path in TARGETS.items():
        (target / f"{name}.jsonl").write_bytes(Path(path).read_bytes())
    request = {"raw": [str(pool)], "target": {"t": str(target)}, "count": 100, "smoothing": "auto", "overwrite": True}
    whole, cut = (run_select(**request, shard_bytes=n)["recovery"] for n in (10**9, 100_000))
    assert whole == cut


def test_a_selection_that_is_spread_beyond_the_top_is_said_to_recover_less(run_select: Select, pool: Path) -> None:
    request = {"raw": [str(pool)], "target": {"speeches": TARGETS["speeches"]}, "count": 70, "overwrite": True}
    said = "the selection recovers less"
    assert not any(said in note for note in run_select(**request)["notes"])
    assert any(said in note for note in run_select(**request, temperature=300.0)["notes"])
