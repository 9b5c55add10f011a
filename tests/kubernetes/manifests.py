"""The manifests in a real API server, and flow runs as the jobs that Prefect's worker makes there; see run.sh."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.kubernetes.api_server import Cluster, free_port, kubernetes
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8").partition("## Kubernetes")[2]
BLOCKS = re.findall(r"^```sh[^\n]*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PROGRAMS = Path(os.environ["IMAGE_PROGRAMS"])
"""Of the packages that the image has."""
PODS = "/api/v1/namespaces/dsir/pods"
JOBS = "/apis/batch/v1/namespaces/dsir/jobs"
NEW_AUTOSCALER = 'no matches for kind "HorizontalPodAutoscaler" in version "autoscaling/v2"'
CONFIG = {"raw": ["s3://corpus/raw"], "target": {"t": ["s3://corpus/t.jsonl"]}, "output": "s3://corpus/o", "count": 1}


@dataclass(frozen=True)
class Place:
    """A clone as a user has it, the cluster, and Prefect's server."""

    folder: Path
    cluster: Cluster
    api: str

    @property
    def environment(self) -> dict[str, str]:
        """Of the commands that a user types."""
        return {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "NO_PROXY": "127.0.0.1",
        }

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run lines of the page up to the first that fails."""
        words = ["bash", "-euc", script]
        environment = {**self.environment, **environment}
        return subprocess.run(words, capture_output=True, text=True, cwd=self.folder, env=environment, check=False)

    def typed(self, script: str) -> str:
        """What lines of the page print."""
        done = self.run(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def prefect(self, path: str, body: Any = None) -> Any:
        """The JSON that Prefect's API answers."""
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=30, trust_env=False)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def as_in_a_pod(place: Place, name: str, words: list[str], log: Path, **changed: str) -> Iterator[None]:
    """Run the container of a deployment in the cluster as a process here, with the environment that it would have.

    Args:
        words: its command, changed as it must be on a machine that is none of the cluster's.
        changed: variables that other things on this machine demand.
    """
    (container,) = container_of(place, name)["spec"]["template"]["spec"]["containers"]
    values = {
        entry["name"]: entry["value"] if "value" in entry else field_of_pod(entry["valueFrom"])
        for entry in container.get("env", [])
    }
    environment = {"PATH": place.environment["PATH"], "HOME": str(place.folder), "NO_PROXY": "127.0.0.1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words, env={**environment, **values, **changed}, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(60)


def field_of_pod(source: dict[str, Any]) -> str:
    assert source["fieldRef"]["fieldPath"] == "metadata.namespace"
    return "dsir"


def container_of(place: Place, name: str) -> dict[str, Any]:
    found: dict[str, Any] = place.cluster.get(f"/apis/apps/v1/namespaces/dsir/deployments/{name}")
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The manifests applied by the commands of the page; the pods of the cluster run nowhere."""
    folder = tmp_path_factory.mktemp("kubernetes")
    for name in ("clone", "cluster"):
        (folder / name).mkdir()
    for name in ("deployments", "prefect.yaml"):
        (folder / "clone" / name).symlink_to(ROOT / name)
    (folder / "clone" / "runs").mkdir()
    with kubernetes(folder / "cluster", Path(os.environ["KUBERNETES_PROGRAMS"])) as cluster:
        found = Place(folder / "clone", cluster, f"http://127.0.0.1:{free_port()}/api")
        (apply,) = [block for block in BLOCKS if "kubectl apply" in block]
        lines = [line for line in apply.splitlines() if not re.search("docker build|port-forward|kubectl apply", line)]
        found.typed("\n".join(lines))
        apply_all(found)
        yield found


def apply_all(place: Place) -> None:
    """Apply the manifests; the autoscaler, of which an old server knows only an earlier version, by that."""
    done = place.run("kubectl apply --kustomize deployments/kubernetes")
    problems = [line for line in done.stderr.splitlines() if line and not line.startswith(("Warning:", "ensure CRDs"))]
    if done.returncode:
        assert all(NEW_AUTOSCALER in line for line in problems), done.stderr
        manifests = yaml.safe_load_all(place.typed("kubectl kustomize deployments/kubernetes"))
        (autoscaler,) = [each for each in manifests if each["kind"] == "HorizontalPodAutoscaler"]
        (place.folder / "autoscaler.json").write_text(json.dumps({**autoscaler, "apiVersion": "autoscaling/v2beta2"}))
        place.typed("kubectl apply --filename autoscaler.json")


def replicas(place: Place, name: str) -> int:
    found: int = container_of(place, name)["spec"]["replicas"]
    return found


def pods_of(place: Place, label: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = place.cluster.get(f"{PODS}?labelSelector={label}")["items"]
    return found


def test_each_deployment_gets_its_pods_and_the_autoscaler_keeps_the_number_of_workers(place: Place) -> None:
    for name in ("prefect", "runner", "scheduler"):
        assert len(until(lambda name=name: pods_of(place, f"app={name}"))) == 1
    until(lambda: replicas(place, "dask-worker") == 2)  # its minimum
    until(lambda: len(pods_of(place, "app=dask-worker")) == 2)
    place.typed("kubectl -n dsir scale deployment dask-worker --replicas 3")
    apply_all(place)
    assert replicas(place, "dask-worker") == 3
    for pod in pods_of(place, "app=dask-worker"):
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "dsir-pipeline:0.1.0"
        assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert place.cluster.get("/apis/networking.k8s.io/v1/namespaces/dsir/networkpolicies/dsir")


@pytest.mark.parametrize(
    ("account", "verb", "what", "namespace", "allowed"),
    [
        ("dsir", "create", "jobs", "dsir", "yes"),
        ("dsir", "watch", "pods", "dsir", "yes"),
        ("dsir", "create", "jobs", "default", "no"),
        ("dsir", "list", "pods", "default", "no"),
        ("dsir", "get", "secrets", "dsir", "no"),
        ("dsir", "create", "pods", "dsir", "no"),
        ("dsir-run", "get", "pods", "dsir", "no"),
        ("dsir-run", "get", "secrets", "dsir", "no"),
    ],
)
def test_what_accounts_may_do(place: Place, account: str, verb: str, what: str, namespace: str, allowed: str) -> None:
    who = f"system:serviceaccount:dsir:{account}"
    said = place.run(f"kubectl auth can-i {verb} {what} --namespace {namespace} --as {who}")
    assert said.stdout.strip() == allowed, said.stderr


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Place]:
    """Prefect's server as its pod runs it, with the pool and the deployments of the page."""
    (container,) = container_of(place, "prefect")["spec"]["template"]["spec"]["containers"]
    port = place.api.split(":")[2].partition("/")[0]
    words = [*(word.replace("0.0.0.0", "127.0.0.1") for word in container["command"]), "--port", port]
    home = {"PREFECT_HOME": str(place.folder / "prefect-server"), "PREFECT_SERVER_UI_API_URL": place.api}
    with as_in_a_pod(place, "prefect", words, place.folder / "server.log", **home):
        until(lambda: answers(f"{place.api}/health"))
        (deploy,) = [block for block in BLOCKS if "work-pool create" in block]
        place.typed(deploy)
        yield place


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def runner(server: Place) -> Iterator[Path]:
    """Prefect's worker as its pod runs it, with the rights of its service account; gives its log."""
    account = container_of(server, "runner")["spec"]["template"]["spec"]["serviceAccountName"]
    kubeconfig = server.cluster.kubeconfig_for("runner", token_of(server, account))
    (container,) = container_of(server, "runner")["spec"]["template"]["spec"]["containers"]
    port, log = free_port(), server.folder / "runner.log"
    changed = {
        "KUBECONFIG": str(kubeconfig),
        "PREFECT_API_URL": server.api,
        "PREFECT_HOME": str(server.folder / "prefect-runner"),
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }
    with as_in_a_pod(server, "runner", container["command"], log, **changed):
        until(lambda: answers(f"http://127.0.0.1:{port}{container['readinessProbe']['httpGet']['path']}"))
        yield log


def token_of(place: Place, account: str) -> str:
    """A token of a service account."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = place.cluster.client.post(f"/api/v1/namespaces/dsir/serviceaccounts/{account}/token", json=asked)
    answer.raise_for_status()
    token: str = answer.json()["status"]["token"]
    return token


@dataclass(frozen=True)
class FlowRun:
    """A flow run of the deployment `select`, and its pod."""

    id: str
    pod: dict[str, Any]


def start(place: Place) -> FlowRun:
    """Start a run of a deployment, and wait for its pod."""
    parameters = json.dumps({"config": CONFIG})
    place.typed(f"prefect deployment run dsir-select/select --params '{parameters}'")
    (last, *_) = place.prefect("/flow_runs/filter", {"sort": "ID_DESC", "limit": 1})
    label = f"prefect.io/flow-run-id={last['id']}"

    def pod() -> Any:
        jobs = place.cluster.get(f"{JOBS}?labelSelector={label}")["items"]
        return jobs and pods_of(place, f"job-name={jobs[0]['metadata']['name']}")

    return FlowRun(last["id"], until(pod)[0])


@pytest.fixture(scope="module")
def flow_run(server: Place, runner: Path) -> FlowRun:
    return start(server)


def test_a_flow_run_is_a_job_with_image_credentials_limits_and_account(flow_run: FlowRun) -> None:
    spec = flow_run.pod["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "dsir-pipeline:0.1.0"
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["args"][0] == "prefect"
    values = {entry["name"]: entry["value"] for entry in container["env"]}
    assert values["PREFECT__FLOW_RUN_ID"] == flow_run.id
    assert values["PREFECT_LOGGING_EXTRA_LOGGERS"] == "dsir_core"
    assert spec["serviceAccountName"] == "dsir-run"
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsUser"] == 1000
    # No token of the account is mounted: the run asks nothing of Kubernetes.
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp"]


def test_a_run_that_is_out_of_memory_has_crashed(server: Place, flow_run: FlowRun) -> None:
    assert server.prefect(f"/flow_runs/{flow_run.id}")["state_type"] == "PENDING"
    name = flow_run.pod["metadata"]["name"]
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z"}
    (container,) = flow_run.pod["spec"]["containers"]
    status = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    server.cluster.patch_status(f"{PODS}/{name}", {"phase": "Failed", "containerStatuses": [status]})
    until(lambda: server.prefect(f"/flow_runs/{flow_run.id}")["state_type"] == "CRASHED", 300)
    print(server.prefect(f"/flow_runs/{flow_run.id}")["state"]["message"])


def test_the_runner_asks_for_nothing_that_it_may_not_do(runner: Path, flow_run: FlowRun) -> None:
    log = runner.read_text()
    assert not [line for line in log.splitlines() if re.search("forbidden|Forbidden|403", line)]
    assert "Traceback" not in log
