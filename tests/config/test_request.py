"""Requests: flags and YAML keys have one set of names, and what is wrong is said in one line."""

from __future__ import annotations

from typing import Any

import pytest

from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.config.settings import DEFAULT_SMOOTHING
from dsir_core.errors import RequestError

GOOD: dict[str, Any] = {"raw": ["a"], "target": ["b"], "output": "o", "count": 1}


def test_defaults_select_well_and_the_preset_is_the_reference() -> None:
    config = parse_config(GOOD)
    assert (config.ngrams, config.buckets, config.min_tokens) == (2, 10_000, 100)
    assert (config.smoothing, config.tokenizer, config.length_normalise) == (DEFAULT_SMOOTHING, "unicode", "tokens")
    assert config.workdir_url == "o.work"
    reference = parse_config({**GOOD, "preset": "reference"})
    assert (reference.hash, reference.smoothing) == ("sha256", 0.0)
    assert (reference.tokenizer, reference.length_normalise) == ("wordpunct", "none")


def test_settings_that_are_given_win_over_the_preset() -> None:
    config = parse_config({**GOOD, "preset": "reference", "hash": "xxh3", "smoothing": "auto"})
    assert (config.hash, config.smoothing, config.tokenizer) == ("xxh3", "auto", "wordpunct")


def test_scores_from_elsewhere_are_not_divided_by_length_unless_asked() -> None:
    external = {**GOOD, "weights": {"column": "score"}}
    assert parse_config(external).length_normalise == "none"
    assert parse_config({**external, "length_normalise": "sqrt"}).length_normalise == "sqrt"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["x"], {"target": ("x",)}),
        (["a=x", "b=y", "a=z"], {"a": ("x", "z"), "b": ("y",)}),
        ("s3://bucket/day=1/*.jsonl", {"target": ("s3://bucket/day=1/*.jsonl",)}),
        (["news=s3://bucket/day=1/*.jsonl"], {"news": ("s3://bucket/day=1/*.jsonl",)}),
        ({"a": "x", "b": ["y", "z"]}, {"a": ("x",), "b": ("y", "z")}),
    ],
)
def test_targets_have_names(given: Any, named: dict[str, tuple[str, ...]]) -> None:
    assert parse_config({**GOOD, "target": given}).target == named


def test_hyphens_and_underscores_are_the_same_key() -> None:
    assert parse_config({**GOOD, "min-tokens": 5}).min_tokens == parse_config({**GOOD, "min_tokens": 5}).min_tokens


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": None}, "one of count, tokens and fraction"),
        ({"temperature": 1e-308}, "temperature"),
        ({"tokens": 5}, "exclude each other"),
        ({"output": ""}, "output: required"),
        ({"bukets": 5}, "bukets: no such setting"),
        ({"raw": []}, "raw"),
        ({"target": 5}, "target"),
        ({"fraction": 2, "count": None}, "fraction"),
        ({"fit_ngrams": 0}, "fit_ngrams"),
        ({"fit_ngrams": "some"}, "fit_ngrams"),
        ({"proportions": {"target": 1}}, "separate"),
        ({"proportions": {"other": 1}, "separate": True}, "other"),
        ({"smoothing": float("inf")}, "smoothing"),
    ],
)
def test_a_wrong_request_is_said_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        parse_config({**GOOD, **change})
    assert "\n" not in str(caught.value)


def test_every_field_has_a_help_text() -> None:
    missing = [name for name, field in SelectConfig.model_fields.items() if not field.description]
    assert missing == []


def test_a_wrong_request_tells_no_credentials() -> None:
    table = "https://user:SECRET@host/t.parquet?sig=SECRET"
    with pytest.raises(RequestError, match="a table is joined by a key") as caught:
        parse_config({"raw": "a", "target": "b", "output": "c", "count": 1, "weights": {"table": table, "column": "s"}})
    assert "SECRET" not in str(caught.value)


def test_a_request_is_shown_without_credentials_in_any_url() -> None:
    url = "https://user:SECRET@host"
    weights = {"table": f"{url}/t.parquet", "key": "id", "column": "s"}
    config = parse_config(
        {"raw": url, "target": url, "output": url, "workdir": url, "count": 1, "weights": weights, "s3_endpoint": url}
    )
    assert "SECRET" not in config.redacted().model_dump_json()
    assert config.redacted().s3_endpoint == "https://host"


@pytest.mark.parametrize("name", ["text_field", "raw"])
def test_one_name_needs_no_list(name: str) -> None:
    given = {"raw": "raw.jsonl", "target": "target.jsonl", "count": 1, "output": "out", name: "one"}
    assert getattr(parse_config(given), name) == ("one",)
