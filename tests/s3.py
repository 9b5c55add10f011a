"""A real S3 server on this machine: SeaweedFS, one process, bound to 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WEED = Path(sysconfig.get_path("scripts")) / "weed"
REGION = "us-east-1"
READY_SECONDS = 60.0
# About one in ten of weed's shutdowns never ends; the others take one or two seconds.
STOP_SECONDS = 4.0
SERVICES = ("master", "volume", "filer", "s3", "admin")
# Below the ports that the system gives to outgoing connections: nothing takes a stopped server's ports.
PORTS = range(10_000, 22_000)
# The worker inside `weed mini` dials the admin port plus this, whatever -admin.port.grpc says.
GRPC_OFFSET = 10_000


class ServerError(RuntimeError):
    """The server does not run; ends with the tail of its log."""


class S3Server:
    """A SeaweedFS server; `stop` and `start` keep its ports, credentials and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "weed.log"
        self.key = "test"
        self.secret = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """URL of the S3 service."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is stopped"
        return self._process.pid

    def storage_options(self, endpoint: str | None = None) -> dict[str, Any]:
        """What s3fs needs to reach the server, or a proxy before it."""
        return {"key": self.key, "secret": self.secret, "endpoint_url": endpoint or self.endpoint}

    def start(self) -> None:
        """Start the server and wait until it takes reads and writes. A running one is left alone.

        Raises:
            ServerError: it ended, or was not ready in time.
        """
        if self._process is not None:
            return
        for attempts in (2, 1, 0) if not self._ports else (0,):
            ports = self._ports or _free_ports()
            self._process = self._spawn(ports)
            try:
                self._wait_until_ready(ports)
            except BaseException as error:
                ended = self._process.poll() is not None
                self._end(ports, kill=True)
                if isinstance(error, ServerError) and ended and attempts:
                    continue  # another process was faster on one of the ports
                raise
            self._ports = ports
            return

    def stop(self, *, kill: bool = False) -> None:
        """End the server, by SIGTERM and after some seconds SIGKILL, or at once. A stopped one is left alone."""
        self._end(self._ports, kill=kill)

    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        arguments = [
            "-logtostderr",
            "mini",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.preStopSeconds=0",
            *(f"-{name}={port}" for name, port in _port_options(ports).items()),
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [WEED, *arguments],
                cwd=self.folder,
                env={**inherited, "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_until_ready(self, ports: dict[str, int]) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(ports):
            if self._process.poll() is not None:
                raise ServerError(f"weed ended with {self._process.returncode}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"weed was not ready after {READY_SECONDS:.0f} s\n{self._log_tail()}")
            time.sleep(0.05)

    def _is_ready(self, ports: dict[str, int]) -> bool:
        """Whether S3 knows our credentials, which no other server does, and the master has a volume to write to."""
        listing = AWSRequest("GET", f"http://127.0.0.1:{ports['s3']}/")
        S3SigV4Auth(Credentials(self.key, self.secret), "s3", REGION).add_auth(listing)
        assigning = f"http://127.0.0.1:{ports['master']}/dir/assign"
        return _answers(listing.url, dict(listing.headers.items())) and _answers(assigning, {})

    def _end(self, ports: dict[str, int], *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        (process.kill if kill else process.terminate)()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for port in _port_options(ports).values():
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A running server with its data and log in `folder`, and no bucket; any number of them may run at once."""
    server = S3Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop(kill=True)


def _port_options(ports: dict[str, int]) -> dict[str, int]:
    http = {f"{service}.port": port for service, port in ports.items()}
    return http | {f"{service}.port.grpc": port + GRPC_OFFSET for service, port in ports.items()}


def _free_ports() -> dict[str, int]:
    """A port per service that is free, as is its gRPC port."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, 1000):
        if _is_free(port) and _is_free(port + GRPC_OFFSET) and not {port - GRPC_OFFSET, port + GRPC_OFFSET} & {*found}:
            found.append(port)
            if len(found) == len(SERVICES):
                return dict(zip(SERVICES, found, strict=True))
    raise ServerError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(url: str, headers: dict[str, str]) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=1) as response:
            return b'"error"' not in response.read()
    except (OSError, urllib.error.URLError):
        return False
