"""The schema of a deployment's form: what is wrong is refused before a run begins."""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal, get_origin

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from dsir_core.config.presets import PRESETS
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.errors import RequestError
from flows.form import FIRST
from flows.select import score_flow, select_flow

SELECT = parameter_schema(select_flow.fn).model_dump()
SCORE = parameter_schema(score_flow.fn).model_dump()
GIVEN: dict[str, Any] = {"raw": ["corpus"], "target": {"wiki": ["wiki.jsonl"]}, "output": "selected"}


def problems(schema: dict[str, Any], config: dict[str, Any], cluster: Any = None) -> list[str]:
    return [error.message for error in validate({"config": config, "cluster": cluster}, schema)]


SIZES = {
    "count": [None, 5],
    "tokens": [None, 5],
    "fraction": [None, 0.5],
    "quotas": [None, "raw", "target", {"a": 3, "b": 4}],
}
"""Every setting by which a request can say how much it selects, with values of each kind."""


@pytest.mark.parametrize("absent", [False, True], ids=["null", "absent"])
@pytest.mark.parametrize("values", list(itertools.product(*SIZES.values())), ids=str)
def test_the_form_takes_and_refuses_the_sizes_that_the_run_does(values: tuple[Any, ...], absent: bool) -> None:
    sizes = dict(zip(SIZES, values, strict=True))
    config = GIVEN | {"strata": "shelf"} | {name: size for name, size in sizes.items() if not absent or size}
    try:
        parse_config(config)
    except RequestError:
        assert problems(SELECT, config)
    else:
        assert problems(SELECT, config) == []


def test_a_request_without_a_size_is_told_so_at_a_field_that_takes_one() -> None:
    (error,) = validate({"config": GIVEN}, SELECT)
    assert error.message == "'count' is a required property"
    assert "tokens and fraction" in SELECT["definitions"]["SelectConfig"]["properties"]["count"]["description"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"count": None},
        {"count": 0},
        {"count": "many"},
        {"count": 5, "output": ""},
        {"count": 5, "fraction": 1.5},
        {"count": 5, "hash": "md5"},
        {"count": 5, "raw": []},
        {"count": 5, "target": {}},
        {"count": 5, "min_token": 3},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(wrong: dict[str, Any]) -> None:
    assert problems(SELECT, GIVEN | wrong)


@pytest.mark.parametrize("name", ["raw", "target", "output"])
def test_what_a_selection_needs_is_required(name: str) -> None:
    without = {key: value for key, value in (GIVEN | {"count": 5}).items() if key != name}
    assert problems(SELECT, without)


def test_scores_need_no_size_and_no_output() -> None:
    assert problems(SCORE, {"raw": ["corpus"], "target": {"wiki": ["wiki.jsonl"]}, "workdir": "work"}) == []


@pytest.mark.parametrize(
    "cluster",
    [
        None,
        {"local": {"workers": 2, "memory": "4 GiB"}},
        {"address": "tls://scheduler:8786", "tls": {"ca_file": "a", "cert_file": "b", "key_file": "c"}},
        {"scheduler_file": "/shared/scheduler.json"},
        {"class": "dask_jobqueue.SLURMCluster", "options": {"cores": 4}, "adaptive": {"maximum": 9}},
    ],
    ids=str,
)
def test_every_kind_of_cluster_is_accepted(cluster: Any) -> None:
    assert problems(SELECT, GIVEN | {"count": 5}, cluster) == []


@pytest.mark.parametrize(
    "cluster",
    [{}, {"adress": "tcp://a:1"}, {"address": "a"}, {"local": {"workers": 0}}, {"local": {}, "address": "tcp://a:1"}],
    ids=str,
)
def test_a_wrong_cluster_is_refused(cluster: Any) -> None:
    assert problems(SELECT, GIVEN | {"count": 5}, cluster)


def test_the_form_asks_for_everything_in_a_sensible_order_and_explains_each_field() -> None:
    form = SELECT["definitions"]["SelectConfig"]["properties"]
    assert tuple(form)[: len(FIRST)] == FIRST
    assert set(form) == set(SelectConfig.model_fields)
    assert [name for name, field in form.items() if not field.get("description")] == []
    assert SELECT["properties"]["cluster"]["description"]
    assert not re.search(r"\w=[A-Z]|--\w", str([field["description"] for field in form.values()])), "flags in a form"


def test_a_field_that_need_not_be_filled_in_has_a_default_and_choices_are_listed() -> None:
    for name, kind in SELECT["definitions"].items():
        required = set(kind.get("required", ()))
        for field, schema in kind["properties"].items():
            # A form sends defaults as if they were given, and no preset could win over them.
            of_preset = name == "SelectConfig" and field in PRESETS["reference"]
            assert ("default" in schema) != (field in required or of_preset), (name, field)
            assert schema.get("description") or "$ref" in schema, (name, field)
    literals = {name for name, field in SelectConfig.model_fields.items() if get_origin(field.annotation) is Literal}
    form = SELECT["definitions"]["SelectConfig"]["properties"]
    assert {"refit", "compression", "length_normalise"} <= literals
    named = {*literals, "method", "hash", "tokenizer"}
    assert {name for name in named if not form[name].get("enum")} == set()


def test_choices_and_defaults_stand_in_the_form() -> None:
    form = SELECT["definitions"]["SelectConfig"]["properties"]
    assert form["hash"]["enum"] == ["xxh3", "sha256"]
    assert form["min_tokens"]["default"] == 100
    assert "default" not in form["output"]
