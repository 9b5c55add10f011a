"""What deployments/ ships, run as it is shipped. run.sh builds the image, and starts this in a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deployments" / "kubernetes"
IMAGE = "dsir-pipeline:0.1.0"
S3_IMAGE = "docker.io/chrislusf/seaweedfs:4.48"
KEYS = {"AWS_ACCESS_KEY_ID": "dsir", "AWS_SECRET_ACCESS_KEY": "a-secret-of-yours"}
STORAGE = {"AWS_ENDPOINT_URL": "http://s3:8333", "AWS_DEFAULT_REGION": "us-east-1"}
UI = "http://127.0.0.1:4200"
SELECT = ["--target", "speeches=/demo/targets/speeches.jsonl", "--count", "100"]
DEMO = ["--volume", f"{ROOT}/demo:/demo:ro"]
SPEECHES = {"raw": ["s3://corpus/demo/raw"], "target": {"speeches": ["s3://corpus/demo/targets/speeches.jsonl"]}}
READ_ONLY = ["--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop=all", "--passwd=false"]
PODS: dict[str, Any] = {
    found["metadata"]["name"]: found["spec"]["template"]["spec"]
    for name in ("prefect", "dask")
    for found in yaml.safe_load_all((KUBERNETES / f"{name}.yaml").read_text())
    if found["kind"] == "Deployment"
}
POOL = json.loads((KUBERNETES / "job.json").read_text())
JOB = POOL["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
DEFAULTS = {name: variable.get("default") for name, variable in POOL["variables"]["properties"].items()}


def run(*words: str, stdin: str = "", **environment: str) -> str:
    """What a command says; a failure says both of its outputs."""
    environment = {**os.environ, **environment}
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until(reached: Callable[[], Any], seconds: float = 600.0) -> Any:
    """What a condition gives as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline, "what was waited for never came"
        time.sleep(0.5)
    return found


def answers(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=10, trust_env=False, follow_redirects=True)
    except httpx.TransportError:
        return None


def shows_the_ui() -> None:
    page = until(lambda: answers(f"{UI}/"))
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    script = page.text.partition('src="')[2].partition('"')[0]
    assert httpx.get(f"{UI}{script}", timeout=30, trust_env=False).status_code == 200


def storage() -> Any:
    """The S3 server's bucket, as seen from outside of the containers, with the demo corpus in it."""
    until(lambda: answers("http://127.0.0.1:8333"))
    found = fsspec.filesystem(
        "s3",
        key=KEYS["AWS_ACCESS_KEY_ID"],
        secret=KEYS["AWS_SECRET_ACCESS_KEY"],
        endpoint_url="http://127.0.0.1:8333",
        skip_instance_cache=True,
    )

    def put() -> bool:
        try:
            found.put(f"{ROOT}/demo/", "corpus/demo/", recursive=True)
        except OSError:  # it answers before all of its parts do
            return False
        return True

    until(put)
    return found


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the documents that are selected without any container."""
    output = tmp_path_factory.mktemp("here") / "output"
    raw, target = str(ROOT / "demo" / "raw"), f"speeches={ROOT}/demo/targets/speeches.jsonl"
    dsir = str(Path(sys.executable).with_name("dsir"))
    run(dsir, "select", "--raw", raw, "--target", target, "--count", "100", "--output", str(output), "--inline")
    return selected(json.loads((output / "report.json").read_text()))


def selected(report: dict[str, Any]) -> str:
    assert report["documents"]["selected"] == 100
    found: str = report["selection_digest"]
    return found


@pytest.mark.parametrize("user", ["1000", "123456:0"])
def test_kernels_come_with_the_image(user: str) -> None:
    program = (
        "import time, pathlib, sys; began = time.monotonic();"
        "from dsir_core.shards.warm_up import warm_up; warm_up();"
        "print(round(time.monotonic() - began, 1), 's to load');"
        "sys.exit([path.name for path in pathlib.Path('/tmp').rglob('*.nbc')] or 0)"
    )
    said = run("podman", "run", "--rm", "--network=none", *READ_ONLY, "--user", user, IMAGE, "python", "-c", program)
    print(said)


@pytest.mark.parametrize("user", ["1000", "123456:0"])
def test_a_selection_in_one_container(user: str, digest: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    options = ["--rm", "--network=none", *READ_ONLY, "--user", user, *DEMO, "--volume", f"{tmp_path}:/data"]
    run("podman", "run", *options, IMAGE, "dsir", "select", "--raw", "/demo/raw", *SELECT, "--output", "/data/output")
    assert selected(json.loads((tmp_path / "output" / "report.json").read_text())) == digest


@contextmanager
def compose() -> Iterator[None]:
    """The stack of the compose file, with the two workers that it asks for."""
    words = ["podman-compose", "--file", "deployments/compose.yaml"]
    try:
        run(*words, "up", "--detach", "--scale", "worker=2", "s3", "prefect", "deploy", "scheduler", "worker", **KEYS)
        # podman cannot start what depends on a container that has already done its work.
        run(*words, "up", "--detach", "--no-deps", "runner", **KEYS)
        yield
    finally:
        run(*words, "down", "--volumes", **KEYS)


def workers() -> int:
    program = (
        "from distributed import Client;"
        "print(len(Client('tcp://scheduler:8786', timeout=30).scheduler_info(n_workers=-1)['workers']))"
    )
    return int(run("podman", "exec", "dsir_scheduler_1", "python", "-c", program))


def deployed() -> bool:
    """Whether the pool has a worker and the deployments know their cluster."""
    script = "prefect variable get dsir_cluster && prefect work-pool inspect default"
    done = subprocess.run(
        ["podman", "exec", "dsir_runner_1", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and "scheduler:8786" in done.stdout and "READY" in done.stdout


def test_the_compose_stack_completes_a_run_on_s3(digest: str) -> None:
    with compose():
        corpus = storage()
        shows_the_ui()
        until(deployed)
        until(lambda: workers() == 2)
        config = {**SPEECHES, "output": "s3://corpus/selected", "count": 100}
        command = ["prefect", "deployment", "run", "dsir-select/select", "--watch"]
        said = run("podman", "exec", "dsir_runner_1", *command, "--params", json.dumps({"config": config}))
        assert selected(json.loads(corpus.cat("corpus/selected/report.json"))) == digest, said


def as_kubernetes_starts(pod: dict[str, Any]) -> list[str]:
    """podman's options, image and command for a pod's container."""
    (container,) = pod["containers"]
    places = {volume["name"]: "emptyDir" in volume for volume in pod["volumes"]}
    words = ["--user", str(pod["securityContext"]["runAsUser"])]
    if container["securityContext"]["readOnlyRootFilesystem"]:
        words += ["--read-only", "--read-only-tmpfs=false"]
    words += [f"--cap-drop={name.lower()}" for name in container["securityContext"]["capabilities"]["drop"]]
    if not container["securityContext"]["allowPrivilegeEscalation"]:
        words += ["--security-opt=no-new-privileges"]
    for mount in container["volumeMounts"]:
        path = mount["mountPath"]
        words += ["--tmpfs", path] if places[mount["name"]] else ["--volume", f"{mount['name']}:{path}:U"]
    memory = container["resources"]["limits"]["memory"].replace("{{ memory }}", DEFAULTS["memory"])
    words += ["--memory", memory.replace("Gi", "g")]
    for entry in container["env"] if isinstance(container.get("env"), list) else []:
        words += ["--env", f"{entry['name']}={entry['value']}"]
    for _ in container.get("envFrom", []):
        words += [f"--env={name}={value}" for name, value in {**KEYS, **STORAGE}.items()]
    command = container.get("command", []) + (container["args"] if isinstance(container.get("args"), list) else [])
    return [*words, IMAGE, *command]


@contextmanager
def network() -> Iterator[Callable[..., None]]:
    """Start containers that know each other by name; they end with it."""
    with ExitStack() as stack:
        run("podman", "network", "create", "pods")
        stack.callback(run, "podman", "network", "rm", "--force", "pods")

        def start(name: str, *words: str) -> None:
            run("podman", "run", "--detach", "--network=pods", "--name", name, *words)
            stack.callback(run, "podman", "rm", "--force", "--volumes", "--time", "5", name)

        yield start


@pytest.fixture(scope="module")
def pods() -> Iterator[Any]:
    """The pods of the manifests beside an S3 server; gives its bucket."""
    with network() as start:
        keys = [f"--env={name}={value}" for name, value in KEYS.items()]
        mini = ["mini", "-dir=/data", "-ip=s3", "-ip.bind=0.0.0.0", "-master.telemetry=false", "-bucket=corpus"]
        start("s3", *keys, "--tmpfs=/data", "--publish=127.0.0.1:8333:8333", S3_IMAGE, *mini)
        start("prefect", "--publish=127.0.0.1:4200:4200", *as_kubernetes_starts(PODS["prefect"]))
        start("scheduler", *as_kubernetes_starts(PODS["scheduler"]))
        for name in ("worker-1", "worker-2"):
            start(name, "--restart=always", *as_kubernetes_starts(PODS["dask-worker"]))
        yield storage()


def in_a_job(*command: str, **options: Any) -> str:
    """Run a command in the pod that a flow run has."""
    words = ["--rm", "--interactive", "--network=pods", "--env=PREFECT_API_URL=http://prefect:4200/api"]
    return run("podman", "run", *words, *as_kubernetes_starts(JOB), *command, **options)


def test_the_server_serves_the_ui(pods: Any) -> None:
    shows_the_ui()


def test_a_run_on_the_workers_of_the_manifests(pods: Any, digest: str) -> None:
    target = "speeches=s3://corpus/demo/targets/speeches.jsonl"
    where = ["--output", "s3://corpus/selected", "--cluster", "address=tcp://scheduler:8786"]
    in_a_job("dsir", "select", "--raw", *SPEECHES["raw"], "--target", target, "--count", "100", *where)
    assert selected(json.loads(pods.cat("corpus/selected/report.json"))) == digest


JOB_OF_A_RUN = """
import asyncio, json, sys, uuid
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration
values = {"env": {"A": "b"}, "image": "registry.example.org/dsir:1"}
job = asyncio.run(KubernetesWorkerJobConfiguration.from_template_and_values(json.load(sys.stdin), values))
job.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), name="a-run", flow_id=uuid.uuid4()))
print(json.dumps(job.job_manifest))
"""


def test_prefect_makes_the_job_of_a_flow_run_from_the_template(pods: Any) -> None:
    said = in_a_job("python", "-c", JOB_OF_A_RUN, stdin=json.dumps(POOL))
    manifest = json.loads(said.splitlines()[-1])
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert manifest["metadata"]["generateName"].startswith("a-run")
    assert container["image"] == "registry.example.org/dsir:1"
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert {"name": "A", "value": "b"} in container["env"]
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}}
    assert container["args"][0] == "prefect"
