"""The embedded Prefect server, as its parent sees it: started in the background, drained, ended."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from dsir_core.errors import RunFailedError
from flows.prefect_private import drain_client
from flows.prefect_settings import EMBEDDED_SERVER, NOT_FOR_EMBEDDED_SERVER, own_folder

START_SECONDS = 180.0
"""A server imports for ten seconds on a slow machine, and a busy one can take several times that."""

DRAIN_SECONDS = 10.0
"""How long the end of a run waits for what it reported to reach the database."""

SETTLE_SECONDS = 0.05
"""Between two looks at what is recorded; an event takes a fifth of this."""

PROBE_SECONDS = 3.0
"""How long to wait for an answer at the default address."""


class EmbeddedServer:
    """A server process that serves on a socket bound here: its address is known before it runs."""

    def __init__(self, url: str, auth: str, process: subprocess.Popen[bytes], log: IO[bytes] | None) -> None:
        self.url = url
        self.auth = auth
        self.pid = process.pid
        self._process = process
        self._log = log
        self._is_ready = False
        self._started = datetime.now(UTC)

    def wait_until_ready(self) -> None:
        """Return once the server answers.

        Raises:
            RunFailedError: it ended, or took more than `START_SECONDS`.
        """
        if self._is_ready:
            return
        output = self._process.stdout
        assert output is not None
        readable, _, _ = select.select([output], [], [], START_SECONDS)
        if not readable:
            raise RunFailedError(
                f"Prefect's embedded server did not start within {START_SECONDS:.0f} s; start one with "
                "`prefect server start`, or use --inline to run without Prefect"
            )
        if output.readline() != b"ready\n":
            raise RunFailedError(
                f"Prefect's embedded server did not start: {self._last_words()}; use --inline to run without "
                f"Prefect, or --verbose to see its log (its database lies in {own_folder()})"
            )
        self._is_ready = True

    def _last_words(self) -> str:
        self._process.wait(timeout=DRAIN_SECONDS)
        if self._log is None:
            return f"exit status {self._process.returncode}"
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")
        errors = re.findall(r"^[\w.]+(?:Error|Exception): .+$", log, re.MULTILINE)
        # The first is the cause; what follows is what came of it.
        return errors[0] if errors else f"exit status {self._process.returncode}"

    def close(self) -> None:
        """Let what was reported reach the database, then end the process."""
        if self._is_ready and self._process.poll() is None:
            drain_client(DRAIN_SECONDS)
            self._drain_server()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            # A server that is still importing reads its standard input only later: nothing to drain.
            self._process.wait(timeout=DRAIN_SECONDS if self._is_ready else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
        finally:
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()

    def _drain_server(self) -> None:
        """Wait until the task runs of this server are recorded, all of them ended.

        Prefect's client reports them as events, and the server writes them down one by one behind a queue
        that it forgets when it ends. Nothing says how long the queue is: it is empty when the count stands
        still.
        """
        of_this_server = {"flow_runs": {"start_time": {"after_": self._started.isoformat()}}}
        unfinished = of_this_server | {"task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}}
        deadline = time.monotonic() + DRAIN_SECONDS
        before, steady = None, 0
        while steady < 2 and time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            count = self._count(of_this_server)
            if count is None:
                return
            is_still = count == before and self._count(unfinished) == 0
            before, steady = count, steady + 1 if is_still else 0

    def _count(self, wanted: dict[str, Any]) -> Any:
        return local_json(f"{self.url}/task_runs/count", wanted, auth=self.auth)


def embedded_database() -> Path:
    """The database of embedded servers of the installed Prefect: other versions have other tables."""
    return own_folder() / f"embedded-{metadata.version('prefect')}.db"


@contextmanager
def embedded_server(*, verbose: bool) -> Iterator[EmbeddedServer]:
    """A server process that is starting, with a database and an auth string of its own; gone when the block ends.

    Raises:
        RunFailedError: the folder of its database cannot be made.
    """
    database = embedded_database()
    program = Path(__file__).with_name("embedded_server.py")
    auth = f"dsir:{secrets.token_urlsafe(32)}"
    settings = {k: v for k, v in os.environ.items() if k not in NOT_FOR_EMBEDDED_SERVER} | EMBEDDED_SERVER
    settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    # Other users of this machine can connect to its port.
    settings["PREFECT_SERVER_API_AUTH_STRING"] = auth
    # The program imports this package, which need not be installed.
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, (str(program.parents[1]), os.environ.get("PYTHONPATH"))))
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        log = None if verbose else stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            # -P: this file's directory holds modules named like those of the standard library.
            [sys.executable, "-P", str(program), str(listening.fileno()), str(database.with_suffix(".lock"))],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[listening.fileno()],
            # Ctrl-C in the terminal is for this process, which still has things to report.
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        # Only the child holds the socket from here: when it dies, connections are refused.
        listening.close()
        server = EmbeddedServer(url, auth, process, log)
        stack.callback(server.close)
        yield server


def local_json(url: str, body: Any = None, *, auth: str | None = None) -> Any:
    """The JSON that a server on this machine answers, None when it does not.

    Args:
        body: makes it a POST.
        auth: auth string of the server.
    """
    # A proxy that the environment names is not for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if auth:
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
    request = urllib.request.Request(url, data, headers)
    try:
        with opener.open(request, timeout=PROBE_SECONDS) as response:
            return json.loads(response.read(10_000))
    except (OSError, http.client.HTTPException, ValueError):
        return None
