"""The schema of a deployment's form: what is wrong is refused before a run begins."""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal, get_origin

import pytest
from prefect.exceptions import ParameterTypeError
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
    given = {name: size for name, size in sizes.items() if not absent or size}
    config = GIVEN | {"strata": "shelf"} | given
    form = {name: size for name, size in config.items() if name not in ("strata", "quotas")}
    sample = {"strata": "shelf"} | {name: size for name, size in given.items() if name == "quotas"}
    try:
        parse_config(config)
    except RequestError:
        assert problems(SELECT, config)
        assert problems(SELECT, form | {"advanced": {"sample": sample}})
    else:
        assert problems(SELECT, config) == []
        assert problems(SELECT, form | {"advanced": {"sample": sample}}) == []


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


WRITTEN_NUMBERS = {
    "count": ["10k", "1.5B", " 70 ", "1e3"],
    "tokens": ["2M", "10_000", "10,000"],
    "fraction": ["5%", "0.5 %"],
    "max_bad_fraction": ["1%"],
    "shard_bytes": ["64MB", "128 MiB", "1g", "5000b"],
    "keep_bytes": ["1GiB", "0"],
    "max_record_bytes": ["1.5 MB"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRITTEN_NUMBERS.items() for text in texts])
def test_a_number_may_be_written_as_for_the_command(name: str, text: str) -> None:
    size = {} if name in ("count", "tokens", "fraction") else {"count": 5}
    given = GIVEN | {name: text} if name in FIRST else GIVEN | size | {"advanced": {of_group(name): {name: text}}}
    assert problems(SELECT, given) == []
    assert getattr(parsed(given), name) == getattr(parse_config(GIVEN | size | {name: text}), name)


@pytest.mark.parametrize(
    ("name", "text"), [("count", "10 km"), ("count", "-5"), ("fraction", "half"), ("tokens", "5%")]
)
def test_a_text_that_is_no_number_is_refused(name: str, text: str) -> None:
    assert problems(SELECT, GIVEN | {name: text})


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


FORM = SELECT["definitions"]["SelectConfig"]
GROUP_FORMS = {
    name: group["anyOf"][0] for name, group in FORM["properties"]["advanced"]["anyOf"][0]["properties"].items()
}
ADVANCED = {name: field for group in GROUP_FORMS.values() for name, field in group["properties"].items()}
FIELDS = {**{name: FORM["properties"][name] for name in FIRST}, **ADVANCED}


def test_the_form_asks_for_eight_fields_and_has_all_others_under_advanced() -> None:
    assert (*FIRST, "advanced") == tuple(FORM["properties"])
    assert len(FIRST) == 8
    assert set(FIELDS) == set(SelectConfig.model_fields)
    assert len(FIELDS) == len(FIRST) + sum(len(group["properties"]) for group in GROUP_FORMS.values())
    assert [name for name, field in FIELDS.items() if not field.get("description")] == []
    assert SELECT["properties"]["cluster"]["description"]
    assert not re.search(r"\w=[A-Z]|--\w", str([field["description"] for field in FIELDS.values()])), "flags in a form"


def test_a_group_that_is_not_opened_changes_nothing() -> None:
    assert FORM["properties"]["advanced"]["default"] is None
    groups = FORM["properties"]["advanced"]["anyOf"][0]["properties"]
    assert {group["default"] for group in groups.values()} == {None}


def test_a_field_that_need_not_be_filled_in_has_a_default_and_choices_are_listed() -> None:
    nested = {name: kind for name, kind in SELECT["definitions"].items() if name != "SelectConfig"}
    for name, kind in [*nested.items(), *GROUP_FORMS.items(), ("form", FORM)]:
        required = set(kind.get("required", ()))
        for field, schema in kind["properties"].items():
            # A form sends defaults as if they were given, and no preset could win over them.
            of_preset = kind not in nested.values() and field in PRESETS["reference"]
            assert ("default" in schema) != (field in required or of_preset), (name, field)
            assert schema.get("description") or "$ref" in schema, (name, field)
    literals = {name for name, field in SelectConfig.model_fields.items() if get_origin(field.annotation) is Literal}
    assert {"refit", "compression", "length_normalise"} <= literals
    named = {*literals, "method", "hash", "tokenizer"}
    assert {name for name in named if not FIELDS[name].get("enum")} == set()


def test_choices_and_defaults_stand_in_the_form() -> None:
    assert FIELDS["hash"]["enum"] == ["xxh3", "sha256"]
    assert FIELDS["min_tokens"]["default"] == 100
    assert "default" not in FIELDS["output"]


def of_group(name: str) -> str:
    return next(group for group, form in GROUP_FORMS.items() if name in form["properties"])


@pytest.mark.parametrize("name", sorted(ADVANCED))
def test_an_advanced_setting_is_taken_in_its_group_and_by_its_name_alike(name: str) -> None:
    wrong = GIVEN | {"count": 5, name: {"no": ["such", "value"]}}
    assert problems(SELECT, wrong)
    assert problems(SELECT, GIVEN | {"count": 5, "advanced": {of_group(name): {name: {"no": ["such", "value"]}}}})
    default = ADVANCED[name].get("default", "sha256" if name == "hash" else None)
    if default is not None:
        assert problems(SELECT, GIVEN | {"count": 5, name: default}) == []
        assert problems(SELECT, GIVEN | {"count": 5, "advanced": {of_group(name): {name: default}}}) == []


def parsed(config: dict[str, Any]) -> SelectConfig:
    return select_flow.validate_parameters({"config": config})["config"]


def test_what_the_form_sends_is_the_request() -> None:
    sent = GIVEN | {"count": 5, "preset": None, "advanced": {"features": {"buckets": 7}, "sample": None}}
    assert parsed(sent) == parsed(GIVEN | {"count": 5, "buckets": 7})
    assert parsed(GIVEN | {"count": 5, "advanced": None}) == parsed(GIVEN | {"count": 5})


@pytest.mark.parametrize(
    ("advanced", "message"),
    [({"features": {"count": 6}}, "count: given twice"), ({"feature": {"buckets": 6}}, "no group feature, only")],
    ids=str,
)
def test_a_setting_that_is_given_twice_or_in_no_group_is_refused(advanced: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterTypeError, match=message):
        parsed(GIVEN | {"count": 5, "advanced": advanced})
