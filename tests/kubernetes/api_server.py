"""Kubernetes without nodes: etcd, the API server and the controller manager, for the length of a block.

Objects are checked, kept and acted upon as in any cluster: deployments and jobs make pods. Pods stay pending.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

READY_SECONDS = 120.0


@dataclass(frozen=True)
class Cluster:
    """A cluster, and how its administrator reaches it."""

    folder: Path
    url: str
    kubeconfig: Path
    client: httpx.Client

    def get(self, path: str) -> Any:
        """The JSON at a path of the API."""
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.json()

    def patch_status(self, path: str, status: dict[str, Any]) -> None:
        """Give an object a status, as a node's agent does for its pods."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self.client.patch(f"{path}/status", json={"status": status}, headers=headers).raise_for_status()

    def kubeconfig_for(self, name: str, token: str) -> Path:
        """The configuration of a client that has this token."""
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(_kubeconfig(self.url, self.folder, name, token)))
        return path


@contextmanager
def kubernetes(folder: Path, programs: Path) -> Iterator[Cluster]:
    """A cluster on ports of its own of this machine, with RBAC, known to none but its clients.

    Args:
        folder: for its files.
        programs: where `kube-apiserver` and `kube-controller-manager` are; `etcd` is on the path.
    """
    etcd, peers, port = (free_port() for _ in range(3))
    url, token = f"https://127.0.0.1:{port}", secrets.token_hex(16)
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token},admin,1,system:masters\n")
    _make_keys(folder)
    kubeconfig = folder / "admin.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig(url, folder, "admin", token)))
    with ExitStack() as stack:

        def start(program: str, *words: str) -> subprocess.Popen[bytes]:
            name = Path(program).name
            with (folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen([program, *words], stdout=log, stderr=log, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start(
            "etcd",
            f"--data-dir={folder}/etcd",
            *(f"--{each}-client-urls=http://127.0.0.1:{etcd}" for each in ("listen", "advertise")),
            *(f"--{each}-peer-urls=http://127.0.0.1:{peers}" for each in ("listen", "initial-advertise")),
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
            "--unsafe-no-fsync",
        )
        server = start(
            str(programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={folder}/certificates",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={folder}/accounts.pub",
            f"--service-account-signing-key-file={folder}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
        )
        _wait(server, url, folder)
        start(
            str(programs / "kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={folder}/accounts.key",
            f"--root-ca-file={_authority(folder)}",
            "--leader-elect=false",
            "--port=0",
            "--secure-port=0",
        )
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=url, headers=headers, verify=_context(folder), timeout=30, trust_env=False)
        yield Cluster(folder, url, kubeconfig, stack.enter_context(client))


def _make_keys(folder: Path) -> None:
    """The pair of keys by which tokens of service accounts are signed and checked."""
    private, public = folder / "accounts.key", folder / "accounts.pub"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)


def _kubeconfig(url: str, folder: Path, name: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(_authority(folder))}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        "current-context": "test",
    }


def _authority(folder: Path) -> Path:
    """What the server signs its certificate with: itself, when it starts."""
    return folder / "certificates" / "apiserver.crt"


def _context(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(_authority(folder)))


def _wait(server: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(url, folder):
        log = (folder / "kube-apiserver.log").read_text(errors="replace")[-3000:]
        assert server.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(0.2)


def _is_ready(url: str, folder: Path) -> bool:
    try:
        return httpx.get(f"{url}/readyz", verify=_context(folder), trust_env=False).is_success
    except (httpx.TransportError, OSError):
        return False


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port
