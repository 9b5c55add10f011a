"""The schema of a deployment's form: what is wrong is refused before a run begins."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from dsir_core.config import SelectConfig
from flows.form import FIRST
from flows.select import score_flow, select_flow

SELECT = parameter_schema(select_flow.fn).model_dump()
SCORE = parameter_schema(score_flow.fn).model_dump()
GIVEN: dict[str, Any] = {"raw": ["corpus"], "target": {"wiki": ["wiki.jsonl"]}, "output": "selected"}


def problems(schema: dict[str, Any], config: dict[str, Any], cluster: Any = None) -> list[str]:
    return [error.message for error in validate({"config": config, "cluster": cluster}, schema)]


@pytest.mark.parametrize("size", [{"count": 5}, {"tokens": 5}, {"fraction": 0.5, "count": None}])
def test_a_request_with_a_size_is_accepted(size: dict[str, Any]) -> None:
    assert problems(SELECT, GIVEN | size) == []


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


def test_choices_and_defaults_stand_in_the_form() -> None:
    form = SELECT["definitions"]["SelectConfig"]["properties"]
    assert form["hash"]["enum"] == ["xxh3", "sha256"]
    assert form["min_tokens"]["default"] == 100
    assert "default" not in form["output"]
