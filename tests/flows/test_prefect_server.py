"""A flow run from a plain terminal finds or brings its own Prefect API, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from dsir_core.errors import RunFailedError
from flows.prefect_embedded import embedded_database, local_json
from flows.prefect_server import is_prefect_server, prefect_api, without_credentials
from flows.prefect_settings import environment, quiet_prefect

REPOSITORY = Path(__file__).parents[2]
N_TASKS = 60

PROGRAM = textwrap.dedent("""
    import logging, os, signal, sys, threading, time
    from flows.prefect_server import prefect_api
    from flows.prefect_settings import quiet_prefect

    what, n_tasks = sys.argv[1], int(sys.argv[2])
    with quiet_prefect(verbose=False), prefect_api() as api:
        assert "prefect" not in sys.modules
        api.wait()
        print(api.url, api.embedded.pid if api.embedded else None, flush=True)
        import prefect

        @prefect.task
        def stage(index):
            return index

        @prefect.flow
        def run():
            from flows.watching.run_log import log_to_run
            with log_to_run(prefect.runtime.flow_run.id):
                warn = logging.getLogger("dsir_core.shards.score").warning
                other = threading.Thread(target=warn, args=("from a thread",))
                other.start()
                other.join()
            for index in range(n_tasks):
                stage(index)
            if what in ("interrupt", "kill"):
                print("in the flow", flush=True)
                time.sleep(60)

        try:
            run()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(130)
""")


def start(home: Path, what: str = "run", n_tasks: int = 1, **environ: str) -> subprocess.Popen[str]:
    """The program as a command in a terminal: its own process group, a Prefect home of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, str(n_tasks)],
        cwd=REPOSITORY,
        env=inherited | {"PREFECT_HOME": str(home), "PYTHONPATH": str(REPOSITORY)} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(home / "dsir" / f"embedded-{version('prefect')}.db") as database:
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.mark.long
def test_embedded_server_records_the_run_silently_and_ends(home: Path) -> None:
    process = start(home, n_tasks=N_TASKS)
    output, errors = process.communicate(timeout=120)
    url, pid = output.split()
    assert process.returncode == 0
    assert errors == "WARNING: from a thread\n"
    assert not psutil.pid_exists(int(pid))
    assert not is_prefect_server(url)
    assert rows(home, "select state_type from flow_run") == [("COMPLETED",)]
    assert rows(home, "select state_type, count(*) from task_run group by 1") == [("COMPLETED", N_TASKS)]
    logged = rows(home, "select name, level, message from log where name like 'dsir_core%'")
    assert logged == [("dsir_core.shards.score", 30, "from a thread")]


@pytest.mark.long
def test_two_runs_at_once_share_a_new_database(tmp_path: Path) -> None:
    runs = [start(tmp_path, n_tasks=2) for _ in range(2)]
    assert [(run.communicate(timeout=120)[1], run.returncode) for run in runs] == [("WARNING: from a thread\n", 0)] * 2
    assert rows(tmp_path, "select state_type, count(*) from flow_run group by 1") == [("COMPLETED", 2)]
    assert rows(tmp_path, "select state_type, count(*) from task_run group by 1") == [("COMPLETED", 4)]


@pytest.mark.long
def test_the_users_own_database_is_neither_read_nor_changed(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("create table alembic_version (version_num varchar(32))")
        database.execute("insert into alembic_version values ('of another Prefect')")
    before = (tmp_path / "prefect.db").read_bytes()
    url = f"sqlite+aiosqlite:///{tmp_path}/prefect.db"
    process = start(tmp_path, PREFECT_SERVER_DATABASE_CONNECTION_URL=url, PREFECT_API_DATABASE_CONNECTION_URL=url)
    assert (process.communicate(timeout=120)[1], process.returncode) == ("WARNING: from a thread\n", 0)
    assert (tmp_path / "prefect.db").read_bytes() == before
    assert rows(tmp_path, "select state_type from flow_run") == [("COMPLETED",)]
    assert (tmp_path / "dsir").stat().st_mode & 0o777 == 0o700


@pytest.mark.long
def test_another_user_cannot_read_the_embedded_server(no_settings: None, capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_prefect(verbose=True), prefect_api(verbose=True) as api:
        api.wait()
        assert api.embedded
        auth = api.embedded.auth
        assert local_json(f"{api.url}/health") is True
        assert local_json(f"{api.url}/flow_runs/filter", {}) is None
        assert local_json(f"{api.url}/flow_runs/filter", {}, auth="admin:admin") is None
        assert local_json(f"{api.url}/flow_runs/filter", {}, auth=auth) == []
    assert auth.partition(":")[2] not in "".join(capfd.readouterr())
    with prefect_api() as api:
        assert api.embedded
        assert api.embedded.auth != auth


@pytest.mark.long
def test_interrupt_of_the_process_group_is_recorded_and_ends_quietly(home: Path) -> None:
    process = start(home, "interrupt")
    assert process.stdout
    pid = int(process.stdout.readline().split()[1])
    assert process.stdout.readline() == "in the flow\n"
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == ("interrupted\n", "WARNING: from a thread\n", 130)
    assert not psutil.pid_exists(pid)
    assert rows(home, "select state_type from flow_run order by start_time desc limit 1") == [("CRASHED",)]


@pytest.mark.long
def test_embedded_server_does_not_outlive_a_killed_run(home: Path) -> None:
    process = start(home, "kill")
    assert process.stdout
    server = psutil.Process(int(process.stdout.readline().split()[1]))
    assert process.stdout.readline() == "in the flow\n"
    process.kill()
    process.communicate()
    server.wait(timeout=30)


@pytest.mark.long
def test_server_that_runs_is_used_and_left_running(home: Path, tmp_path: Path) -> None:
    settings = {"PREFECT_HOME": str(home)}
    with environment(settings), quiet_prefect(verbose=False), prefect_api() as api:
        api.wait()
        assert api.embedded
        auth = api.embedded.auth
        process = start(tmp_path, "configured", PREFECT_API_URL=api.url, PREFECT_API_AUTH_STRING=auth)
        output, errors = process.communicate(timeout=120)
        assert (output, errors, process.returncode) == (f"{api.url} None\n", "WARNING: from a thread\n", 0)
        assert is_prefect_server(api.url, auth)

        profiles = tmp_path / "profiles.toml"
        settings = f'PREFECT_API_URL = "{api.url}"\nPREFECT_API_AUTH_STRING = "{auth}"\n'
        profiles.write_text(f'active = "mine"\n[profiles.mine]\n{settings}')
        process = start(tmp_path, "configured")
        assert process.communicate(timeout=120)[0] == f"{api.url} None\n"
    assert not (tmp_path / "dsir").exists()


def test_home_that_cannot_be_made_is_named(no_settings: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "prefect")
    with environment({"PREFECT_HOME": home}), pytest.raises(RunFailedError, match=home), prefect_api():
        pass


@pytest.mark.long
def test_embedded_server_that_cannot_start_says_why(no_settings: None) -> None:
    embedded_database().mkdir()
    with pytest.raises(RunFailedError) as failure, prefect_api() as api:
        api.wait()
    assert "unable to open database file" in str(failure.value)
    assert "--inline" in str(failure.value)


@pytest.mark.long
def test_leaving_before_the_server_is_ready_ends_it(no_settings: None) -> None:
    with prefect_api() as api:
        assert api.embedded
        pid = api.embedded.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_telemetry_is_off_whatever_the_user_has_set() -> None:
    with environment({"DO_NOT_TRACK": "0", "PREFECT_SERVER_ANALYTICS_ENABLED": "true"}):
        with quiet_prefect(verbose=True):
            assert os.environ["DO_NOT_TRACK"] == "1"
            assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert os.environ["DO_NOT_TRACK"] == "0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@example.org:8443/api?key=1", "https://example.org:8443/api"),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
    ],
)
def test_url_is_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
