"""A Prefect API for a flow run started in a plain terminal: the user's server, or an embedded one."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from dsir_core.errors import RunFailedError
from flows.prefect_settings import (
    EMBEDDED_CLIENT,
    EMBEDDED_SERVER,
    NOT_FOR_EMBEDDED_SERVER,
    environment,
    may_be_configured,
    prefect_home,
)

DEFAULT_URL = "http://127.0.0.1:4200/api"
"""Where `prefect server start` listens unless told otherwise."""

START_SECONDS = 180.0
"""A server imports for ten seconds on a slow machine, and a busy one can take several times that."""

DRAIN_SECONDS = 10.0
"""How long the end of a run waits for what it reported to reach the database."""

SETTLE_SECONDS = 0.1
"""Between two looks at what is recorded; an event takes a tenth of this."""

PROBE_SECONDS = 3.0
"""How long to wait for an answer at the default address."""


@dataclass
class PrefectApi:
    """The API a flow run reports to; see `prefect_api`."""

    url: str
    embedded: _EmbeddedServer | None
    _stack: ExitStack = field(repr=False)
    _is_ready: bool = False

    def wait(self) -> None:
        """Import Prefect, point it at this API and return once the API answers; then run the flow.

        Call it in the thread that runs the flow: the settings belong to its context.

        Raises:
            RunFailedError: the server does not start, or the one that was configured does not answer.
        """
        if self._is_ready:
            return
        import_prefect()
        from prefect.settings import (
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            temporary_settings,
        )

        updates: dict[Any, Any] = {PREFECT_API_URL: self.url}
        if self.embedded:
            self.embedded.wait_until_ready()
            # Nobody watches the heartbeat of an embedded server, and its thread delays the end by a second.
            updates[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
        self._stack.enter_context(temporary_settings(updates))
        self._is_ready = True


@contextmanager
def prefect_api(*, verbose: bool = False) -> Iterator[PrefectApi]:
    """The API for the flow runs inside the block: configured, found at the default address, or embedded.

    Returns at once in the last case; the server starts in the background until `PrefectApi.wait`.
    An embedded server keeps its database where Prefect keeps it anyway, so `prefect server start` shows
    the run later, and it ends with this block or with this process. Enter `quiet_prefect` first, and
    import Prefect only inside.

    Args:
        verbose: let the embedded server write its log to the terminal.

    Raises:
        RunFailedError: a server is configured and does not answer.
    """
    configured = configured_url()
    if configured:
        check_configured(configured)
    url = configured or (DEFAULT_URL if is_prefect_server(DEFAULT_URL) else None)
    with ExitStack() as stack:
        if url:
            stack.enter_context(environment({"PREFECT_API_URL": url}))
            yield PrefectApi(url, None, stack)
            return
        server = stack.enter_context(_embedded(verbose))
        stack.enter_context(environment(EMBEDDED_CLIENT | {"PREFECT_API_URL": server.url}))
        yield PrefectApi(server.url, server, stack)


def configured_url() -> str | None:
    """The API that the environment or Prefect's active profile names, or None."""
    if not may_be_configured():
        return None
    import_prefect()
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def check_configured(url: str) -> None:
    """Return when the server at `url` answers with the configured credentials.

    Raises:
        RunFailedError: it does not, with what to do about it.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        client = get_client(httpx_settings={"timeout": 10.0}, sync_client=True)
        error = client.api_healthcheck()
    if error is None:
        return
    raise RunFailedError(
        f"the configured Prefect server {without_credentials(url)} does not answer ({_first_line(error)}); "
        "start it with `prefect server start`, or unset PREFECT_API_URL (or switch profile) for an embedded "
        "one, or use --inline to run without Prefect"
    )


def is_prefect_server(url: str) -> bool:
    """Whether a Prefect server that asks for no credentials answers at `url`."""
    return _json(f"{url}/health") is True and isinstance(_json(f"{url}/admin/version"), str)


def _json(url: str, body: Any = None) -> Any:
    """The JSON that a server on this machine answers, None when it does not; `body` makes it a POST."""
    # A proxy that the environment names is not for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with opener.open(request, timeout=PROBE_SECONDS) as response:
            return json.loads(response.read(10_000))
    except (OSError, http.client.HTTPException, ValueError):
        return None


def without_credentials(url: str) -> str:
    """`url` with neither user information nor query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def import_prefect() -> None:
    """Import Prefect, a quarter faster than by `import prefect`: without looking for garbage meanwhile."""
    if "prefect.flows" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import prefect.flows
        import prefect.tasks  # noqa: F401
    finally:
        if was_enabled:
            gc.enable()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _EmbeddedServer:
    """A server process that serves on a socket bound here: its address is known before it runs."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: IO[bytes] | None) -> None:
        self.url = url
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
                f"Prefect, or --verbose to see its log (its database lies in {prefect_home()})"
            )
        self._is_ready = True

    def _last_words(self) -> str:
        self._process.wait(timeout=DRAIN_SECONDS)
        if self._log is None:
            return f"exit status {self._process.returncode}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"exit status {self._process.returncode}"

    def close(self) -> None:
        """Let what was reported reach the database, then end the process."""
        if self._is_ready and self._process.poll() is None:
            _drain_client()
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
        counts = [-1]
        while counts[-3:] != [counts[-1]] * 3 and time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            counts.append(_json(f"{self.url}/task_runs/count", of_this_server))
            if counts[-1] is None:
                return
            if _json(f"{self.url}/task_runs/count", unfinished):
                counts.append(-1)


def _drain_client() -> None:
    """Send what Prefect still holds in this process; it would try again at exit, when the server is gone."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_SECONDS)


@contextmanager
def _embedded(verbose: bool) -> Iterator[_EmbeddedServer]:
    """A server process that is starting; it is gone when the block ends."""
    home = prefect_home()
    home.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("embedded_server.py")
    settings = {k: v for k, v in os.environ.items() if k not in NOT_FOR_EMBEDDED_SERVER} | EMBEDDED_SERVER
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        log = None if verbose else stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            # -P: this file's directory holds modules named like those of the standard library.
            [sys.executable, "-P", str(program), str(listening.fileno()), str(home / "embedded-server.lock")],
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
        server = _EmbeddedServer(url, process, log)
        stack.callback(server.close)
        yield server
