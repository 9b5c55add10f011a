"""A PostgreSQL server on this machine, for the length of a block."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import postgres
from tests.waiting import until

USER = "postgres"
"""Who runs the server where the tests run as root, which PostgreSQL refuses to."""


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """`HOST:PORT/DATABASE` of an empty database with the extension that Prefect needs; its user is postgres.

    Args:
        folder: for its files; does not exist yet, and its parents can be entered by anybody.
    """
    programs = postgres()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    folder.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
        as_user = ["setpriv", f"--reuid={pwd.getpwnam(USER).pw_uid}", "--clear-groups"]

    def run(program: str, *words: str) -> list[str]:
        return [*as_user, str(programs / program), *words]

    data = folder / "data"
    options = ["--pgdata", str(data), "--auth=trust", f"--username={USER}", "--no-sync"]
    subprocess.run(run("initdb", *options), check=True, capture_output=True, cwd=folder)
    log = folder / "log"
    listens = [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"port={port}",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ]
    with log.open("wb") as stream:
        server = subprocess.Popen(run("postgres", "-D", str(data), *listens), stdout=stream, stderr=stream, cwd=folder)
    client = ["--host=127.0.0.1", f"--port={port}", f"--username={USER}"]
    try:
        until(
            lambda: server.poll() is not None or subprocess.run(run("pg_isready", "--quiet", *client)).returncode == 0,
            60,
        )
        assert server.poll() is None, log.read_text()
        subprocess.run(run("createdb", *client, "prefect"), check=True, cwd=folder)
        extension = ["--dbname=prefect", "--command=CREATE EXTENSION pg_trgm"]
        subprocess.run(run("psql", *client, *extension), check=True, cwd=folder)
        yield f"127.0.0.1:{port}/prefect"
    finally:
        server.terminate()
        server.wait(timeout=60)
