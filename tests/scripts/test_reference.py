"""The reference says what the code does: its pages are those that the code makes, and its schema fits real reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import dsir_core
from dsir_core.config.request import SelectConfig
from scripts.reference import REFERENCE
from scripts.reference.__main__ import pages
from scripts.reference.files import SCHEMAS
from scripts.reference.reruns import MEASURED, measure

DEMO = Path(__file__).parents[2] / "demo"
VALIDATORS = {
    name: Draft202012Validator(json.loads(path.read_text(encoding="utf-8"))) for name, path in SCHEMAS.items()
}


@pytest.mark.parametrize("name", pages())
def test_a_page_is_up_to_date(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run python -m scripts.reference"


def test_what_runs_again_is_known_of_every_setting() -> None:
    assert {name.partition("=")[0] for name in json.loads(MEASURED.read_text())} == {*SelectConfig.model_fields}


@pytest.mark.long
def test_what_runs_again_is_what_was_measured() -> None:
    assert measure() == json.loads(MEASURED.read_text()), "run python -m scripts.reference.reruns"


REQUEST = {"target": {"one": "target.jsonl"}, "count": 5, "min_tokens": 20, "max_bad_fraction": 0.1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small corpus, in the working directory."""
    monkeypatch.chdir(tmp_path)
    texts = [json.loads(line)["text"] for line in (DEMO / "raw" / "pool-1.jsonl").read_text().splitlines()[:60]]
    raw = [{"text": text[:1500], "kind": "ab"[i % 2], "score": i % 10} for i, text in enumerate(texts)]
    raw[7].pop("score")
    Path("raw.jsonl").write_text("".join(json.dumps(one) + "\n" for one in raw[:50]) + '{"text": 1}\n')
    Path("target.jsonl").write_text("".join(json.dumps(one) + "\n" for one in raw[50:]))
    return tmp_path


def wrong(name: str, content: Any) -> list[str]:
    return [error.message for error in VALIDATORS[name].iter_errors(content)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "heuristic"},
        {"strata": "kind", "quotas": {"a": 1, "b": 2}},
        {"chunk": {"words": 50}, "min_tokens": 10, "smoothing": "auto"},
        {"weights": {"column": "score"}, "include": "score < 5 or kind == 'a'"},
        {"target": {"one": "target.jsonl", "two": "target.jsonl"}, "separate": True},
    ],
    ids=str,
)
def test_a_report_is_as_its_schema_says(settings: dict[str, Any], folder: Path) -> None:
    dsir_core.select(raw="raw.jsonl", output="out", **{**REQUEST, **settings})
    assert wrong("report", json.loads(Path("out/report.json").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": 1, "count": None},
        {"strata": "kind", "target_labels": ["a"], "smoothing": "auto"},
        {"target": {"one": "target.jsonl", "two": "target.jsonl"}, "separate": True},
    ],
    ids=str,
)
def test_a_comparison_is_as_its_schema_says(settings: dict[str, Any], folder: Path) -> None:
    dsir_core.compare(raw="raw.jsonl", output="out", **{**REQUEST, **settings})
    assert wrong("compare", json.loads(Path("out/compare.json").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", VALIDATORS)
def test_a_schema_is_one_and_refuses_a_key_that_it_does_not_know(name: str) -> None:
    Draft202012Validator.check_schema(VALIDATORS[name].schema)
    assert any("surprise" in message for message in wrong(name, {"surprise": 1}))
