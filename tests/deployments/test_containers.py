"""Image, compose file and Kubernetes manifests: linted by the tools of their makers, and what those miss."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

from tasks.cluster import DASK_CONFIG

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments"
SCRIPTS = Path(sysconfig.get_path("scripts"))
IMAGE = f"dsir-pipeline:{version('dsir-pipeline')}"
MANIFESTS = sorted(path for path in (FOLDER / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [found for path in MANIFESTS for found in yaml.safe_load_all(path.read_text())]
PODS = {
    found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in OBJECTS if found["kind"] == "Deployment"
}
CONTAINERS = {name: pod["containers"][0] for name, pod in PODS.items()}


def lint(*words: str | Path) -> None:
    done = subprocess.run([SCRIPTS / words[0], *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile() -> None:
    lint("hadolint", FOLDER / "Dockerfile")


def test_compose_file() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_manifest(manifest: Path) -> None:
    lint("kubernetes-validate", "--strict", "--no-warn", manifest)


def test_what_the_image_is_built_from_is_there_and_reaches_the_engine() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"dsir_core", "tasks", "flows", "deployments", "prefect.yaml"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name.partition('/')[0]}" in ignored


def test_the_image_has_the_version_of_the_package_everywhere() -> None:
    assert IMAGE in (FOLDER / "Dockerfile").read_text()
    assert COMPOSE["x-dsir"]["image"] == IMAGE
    kustomization = yaml.safe_load((FOLDER / "kubernetes" / "kustomization.yaml").read_text())
    assert [f"{image['name']}:{image['newTag']}" for image in kustomization["images"]] == [IMAGE]
    assert sorted(kustomization["resources"]) == [path.name for path in MANIFESTS]
    assert {container["image"] for container in CONTAINERS.values()} == {"dsir-pipeline"}


def test_the_image_runs_as_a_user_and_holds_no_secret() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert not re.search(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY", text)


def test_compose_names_what_it_has_and_gives_nothing_to_the_network() -> None:
    services = COMPOSE["services"]
    assert {"s3", "prefect", "runner", "scheduler", "worker"} <= set(services)
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
    secrets = [value for key, value in COMPOSE["x-environment"].items() if key.startswith("AWS_") and "KEY" in key]
    assert all(value.startswith("${") and ":?" in value for value in secrets)


@pytest.mark.parametrize("name", CONTAINERS)
def test_pods_have_no_more_rights_than_they_need_and_bounded_memory(name: str) -> None:
    pod, container = PODS[name], CONTAINERS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    assert pod.get("automountServiceAccountToken") is False or pod["serviceAccountName"] == "dsir"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_services_find_pods_and_pods_find_services() -> None:
    services = {found["metadata"]["name"]: found for found in OBJECTS if found["kind"] == "Service"}
    labels = [found["spec"]["template"]["metadata"]["labels"] for found in OBJECTS if found["kind"] == "Deployment"]
    for service in services.values():
        assert any(service["spec"]["selector"].items() <= found.items() for found in labels)
    used = re.findall(r"(?:tcp|http)://(\w+):(\d+)", "".join(path.read_text() for path in MANIFESTS))
    for host, port in used:
        if host in services:
            assert int(port) == services[host]["spec"]["ports"][0]["port"]
    assert {host for host, _ in used} == {"prefect", "scheduler"}


def dask_commands() -> list[list[str]]:
    """Dask's commands in compose file and manifests, from `dask` on."""
    pods = [container["command"] + container.get("args", []) for container in CONTAINERS.values()]
    found = [*pods, *(service.get("command", []) for service in COMPOSE["services"].values())]
    return [words for words in found if words[:1] == ["dask"]]


@pytest.mark.parametrize("words", dask_commands(), ids=" ".join)
def test_dask_knows_the_options_it_is_given(words: list[str]) -> None:
    command: click.Command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[1]]
    command.make_context(words[1], list(words[2:]))


def test_schedulers_and_workers_that_stay_have_the_settings_of_those_that_a_run_starts() -> None:
    def flat(tree: Any, at: str = "") -> dict[str, Any]:
        if not isinstance(tree, dict):
            return {at: tree}
        return {key: value for name, inner in tree.items() for key, value in flat(inner, f"{at}.{name}").items()}

    found = {
        key.removeprefix("."): value for key, value in flat(yaml.safe_load((FOLDER / "dask.yaml").read_text())).items()
    }
    assert found == {**DASK_CONFIG, "distributed.nanny.preload": ["tasks.draining"]}
