"""prefect.yaml: deployments that can be deployed, and pools whose settings their workers know."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from deployments.serve import POOL
from deployments.steps import package

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: dict[str, dict[str, Any]] = {deployment["name"]: deployment for deployment in FILE["deployments"]}
REGISTRY: dict[str, Any] = json.loads(
    (Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json").read_text()
)
"""What Prefect itself offers when a pool of a kind is made."""
POOLS = {name: FILE["definitions"][name] for name in ("process", "docker", "kubernetes")}


def test_the_deployments_that_are_promised_are_there() -> None:
    assert {"select", "select-nightly", "resample", "compare", "score"} <= set(DEPLOYMENTS)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_has_a_flow_a_version_tags_a_limit_and_a_schema_that_is_enforced(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert flow.name.startswith("dsir-")
    assert deployment["version"] == "{{ package.version }}"
    assert "dsir" in deployment["tags"]
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
    assert deployment["description"]
    assert deployment["work_pool"] == POOLS["process"]
    schema = parameter_schema(flow).model_dump()
    given = deployment.get("parameters", {})
    assert validate(given, schema, ignore_required=True) == []  # as the server looks at it when it is deployed
    assert not given or validate(given, schema) == []


def test_the_night_is_off_until_a_corpus_is_set_and_pays_only_for_what_is_new() -> None:
    nightly = DEPLOYMENTS["select-nightly"]
    (schedule,) = nightly["schedules"]
    assert schedule["active"] is False
    assert schedule["cron"]
    assert schedule["timezone"] == "UTC"
    config = nightly["parameters"]["config"]
    assert (config["refit"], config["overwrite"]) == ("auto", True)


def test_version_is_that_of_the_package() -> None:
    assert package() == {"name": "dsir-pipeline", "version": version("dsir-pipeline")}
    assert FILE["build"] == [{"deployments.steps.package": {"id": "package"}}]


def test_process_pool_is_the_one_that_serve_makes() -> None:
    assert POOLS["process"]["name"] == POOL


def test_every_placeholder_is_an_output_of_a_step() -> None:
    found = set(re.findall(r"{{\s*([^}]+?)\s*}}", (ROOT / "prefect.yaml").read_text()))
    of_events = {"event.payload.config | tojson"}
    assert found == {"package.version", "$PWD"} | of_events


@pytest.mark.parametrize("pool", POOLS)
def test_pools_set_only_what_their_workers_know(pool: str) -> None:
    (template,) = (
        worker["default_base_job_configuration"]
        for collection in REGISTRY.values()
        for kind, worker in collection.items()
        if kind == pool
    )
    assert set(POOLS[pool]["job_variables"]) <= set(template["variables"]["properties"])
