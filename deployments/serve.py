"""`make serve`: Prefect's server, a work pool, a worker and the deployments of prefect.yaml, on this machine.

Ctrl-C ends the worker (and with it the runs that it has started), then the server; nothing stays behind but Prefect's
database. What runs have finished is in their workdirs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from dsir_core.errors import DsirError, RequestError, RunFailedError
from flows.prefect_server import is_prefect_server
from flows.prefect_settings import CLIENT, NO_TELEMETRY, environment
from flows.served import ServedApi, announced

ROOT = Path(__file__).resolve().parents[1]
"""Where prefect.yaml lies."""

POOL = "default"
"""As prefect.yaml has it."""

HOST = "127.0.0.1"
START_SECONDS = 180.0
STOP_SECONDS = 45.0
"""Prefect gives the runs of a worker that ends 30 s to stop."""

RUNS_AT_ONCE = 2
"""Each takes all cores. With one, a night would wait for the night before, and is to be left out."""

SERVER = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # Else a server that starts anew has forgotten who holds which limit, and ends the runs that do.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
}


def serve(port: int) -> None:
    """Start everything, say where it is, and wait; ends by KeyboardInterrupt.

    Args:
        port: of the server, on this machine only.

    Raises:
        RequestError: something else listens at the port.
        RunFailedError: a part of it does not start, or ends by itself.
    """
    url = f"http://{HOST}:{port}"
    _check_free(port)
    settings = {**CLIENT, **NO_TELEMETRY, **SERVER, "PREFECT_API_URL": f"{url}/api"}
    # At another port than Prefect's own the UI would look for its API at the wrong place.
    settings["PREFECT_SERVER_UI_API_URL"] = f"{url}/api"
    with environment(settings), ExitStack() as stack:
        auth = _auth_string()
        if auth:
            stack.enter_context(environment({"PREFECT_API_AUTH_STRING": auth}))
        _say("starting Prefect's server, which takes 10 to 20 seconds ...")
        server = stack.enter_context(
            _running("server", "start", "--host", HOST, "--port", str(port), out=subprocess.DEVNULL)
        )
        _wait_for(server, f"{url}/api", auth)
        _make_pool(POOL)
        if not _has_worker(POOL):
            _end_runs(POOL)
        _say("deploying what prefect.yaml names ...")
        _deploy()
        stack.callback(_end_runs, POOL)
        limit = ("--limit", str(RUNS_AT_ONCE))
        worker = stack.enter_context(_running("worker", "start", "--pool", POOL, "--type", "process", *limit))
        served = ServedApi(f"{url}/api", metadata.version("prefect"), os.getpid(), auth)
        if not stack.enter_context(announced(served)):
            _say("commands of yours use the server of another `make serve`, which runs already")
        _say(f"\nPrefect  {url}\nruns     {url}/deployments\n\nCtrl-C ends the server, the worker and its runs.")
        while server.poll() is None and worker.poll() is None:
            time.sleep(0.5)
        name = "server" if worker.poll() is None else "worker"
        raise RunFailedError(f"Prefect's {name} has ended by itself; what it said stands above")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; exit status 0 after Ctrl-C, 1 when something failed, 2 when the port is taken."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--port", type=int, default=4200, help="port of Prefect's server [4200]")
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(parsed.port)
    except KeyboardInterrupt:
        _say("stopped")
        return 0
    except DsirError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    return 0


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            what = "a Prefect server" if is_prefect_server(f"http://{HOST}:{port}/api") else error.strerror
            raise RequestError(f"port {port} is taken ({what}): stop that, or choose another with --port") from None


@contextmanager
def _running(*words: str, out: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Prefect command in a session of its own.

    Ctrl-C in the terminal then reaches only this process, which ends its parts in order.
    """
    process = subprocess.Popen([sys.executable, "-m", "prefect", *words], cwd=ROOT, stdout=out, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _auth_string() -> str | None:
    """What the user has set as the server's auth string, which then is that of its clients as well."""
    from prefect.settings import get_current_settings

    found = get_current_settings().server.api.auth_string
    return found.get_secret_value() if found else None


def _wait_for(server: subprocess.Popen[bytes], api: str, auth: str | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_prefect_server(api, auth):
        if server.poll() is not None:
            raise RunFailedError("Prefect's server did not start; what it said stands above")
        if time.monotonic() > deadline:
            raise RunFailedError(f"Prefect's server did not answer within {START_SECONDS:.0f} s")
        time.sleep(0.2)


def _make_pool(name: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))


def _has_worker(pool: str) -> bool:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import WorkerStatus

    with get_client(sync_client=True) as client:
        return any(worker.status == WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool))


def _end_runs(pool: str) -> None:
    """Put on record that our runs have ended whose process is gone: they would keep their deployments' turns."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.client.schemas.objects import State
    from prefect.states import Crashed

    under_way = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}, "tags": {"all_": ["dsir"]}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(under_way),
            work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [pool]}}),
        )
        for run in runs:
            if _is_alive(run.infrastructure_pid):
                continue
            state: State[Any] = Crashed(
                message="Its worker was stopped. What is finished is kept: run it again to go on."
            )
            client.set_flow_run_state(run.id, state, force=True)


def _is_alive(pid: str | None) -> bool:
    """Whether the process of a run is there; a run that was never started has none."""
    if not pid or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, PermissionError):  # by now the number may be that of another user's process
        return False
    return True


def _deploy() -> None:
    """Deploy, with this directory as the one that runs work in: relative paths in a form mean what they seem."""
    words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        start_new_session=True,
        env=os.environ | {"PWD": str(Path.cwd())},
    )
    if done.returncode:
        raise RunFailedError(f"prefect deploy failed:\n{done.stdout}{done.stderr}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
