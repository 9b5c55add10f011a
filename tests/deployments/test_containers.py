"""Image, compose file and Kubernetes manifests: linted by the tools of their makers, and what those miss."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dask.utils import parse_bytes
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
POOL: dict[str, Any] = json.loads((FOLDER / "kubernetes" / "job.json").read_text())
JOB: dict[str, Any] = POOL["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
"""The pod of a flow run."""


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


@pytest.mark.parametrize("pod", [*PODS.values(), JOB], ids=[*PODS, "flow run"])
def test_pods_have_no_more_rights_than_they_need_and_bounded_memory(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    if pod not in (PODS["runner"], JOB):
        assert pod["automountServiceAccountToken"] is False
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


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in OBJECTS if found["kind"] == kind}


def test_only_the_runner_may_ask_kubernetes_for_anything_and_only_in_its_namespace() -> None:
    (binding,) = named("RoleBinding").values()
    assert [subject["name"] for subject in binding["subjects"]] == [PODS["runner"]["serviceAccountName"]]
    assert not named("ClusterRoleBinding")
    environment = {entry["name"]: entry for entry in CONTAINERS["runner"]["env"]}
    watched = environment["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"]
    assert watched["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_flow_runs_have_an_account_without_rights() -> None:
    account = POOL["variables"]["properties"]["service_account_name"]["default"]
    assert JOB["serviceAccountName"] == "{{ service_account_name }}"
    assert named("ServiceAccount")[account]["automountServiceAccountToken"] is False


def test_whoever_reads_the_corpus_has_the_credentials_of_its_storage() -> None:
    for container in (CONTAINERS["dask-worker"], JOB["containers"][0]):
        assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]


def test_every_pod_can_be_reached_from_its_namespace_only() -> None:
    (policy,) = named("NetworkPolicy").values()
    assert policy["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}]}],
    }


def test_an_apply_does_not_undo_what_the_autoscaler_has_set() -> None:
    (scaler,) = named("HorizontalPodAutoscaler").values()
    assert "replicas" not in named("Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]["spec"]


def test_the_image_of_flow_runs_is_named_once() -> None:
    assert POOL["variables"]["properties"]["image"]["default"] == IMAGE
    pool = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["kubernetes"]
    assert "image" not in pool["job_variables"]


def test_what_a_container_writes_lies_where_it_can_write() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    for name in ("NUMBA_CACHE_DIR", "PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY"):
        assert re.search(rf"\b{name}=/tmp/", text)
    for pod in (*PODS.values(), JOB):
        assert {"name": "tmp", "mountPath": "/tmp"} in pod["containers"][0]["volumeMounts"]
    server = {entry["name"]: entry["value"] for entry in CONTAINERS["prefect"]["env"]}["PREFECT_HOME"]
    assert {"name": "prefect", "mountPath": server} in CONTAINERS["prefect"]["volumeMounts"]
    assert COMPOSE["services"]["prefect"]["volumes"] == [
        f"prefect:{COMPOSE['services']['prefect']['environment']['PREFECT_HOME']}"
    ]
    assert COMPOSE["x-dsir"]["read_only"] is True
    assert COMPOSE["x-dsir"]["tmpfs"] == ["/tmp"]


def test_kernels_are_compiled_for_the_installed_package() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert text.index("\nWORKDIR /\n") < text.index("warm_up()")


def test_workers_have_the_memory_of_their_container() -> None:
    def limit(words: list[str]) -> int:
        found: int = parse_bytes(words[words.index("--memory-limit") + 1])
        return found

    pod, service = CONTAINERS["dask-worker"], COMPOSE["services"]["worker"]
    assert limit(pod["args"]) == parse_bytes(pod["resources"]["limits"]["memory"] + "B")
    assert service["deploy"]["resources"]["limits"]["memory"] == "2g"
    assert limit(service["command"]) == 2 * 2**30


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
