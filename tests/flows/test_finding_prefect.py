"""Which Prefect server a command uses: one that is configured, that of `make serve`, or one of its own."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import socket
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from dsir_core.errors import RunFailedError
from flows import prefect_server
from flows.prefect_server import is_prefect_server, prefect_api
from flows.prefect_settings import environment, may_be_configured, own_folder
from flows.served import ServedApi, announced, served_api


def test_a_server_that_no_setting_names_is_not_used(
    monkeypatch: pytest.MonkeyPatch, no_settings: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with _serving({"/api/health": True, "/api/admin/version": version("prefect")}) as url:
        monkeypatch.setattr(prefect_server, "DEFAULT_URL", url)
        with prefect_api() as api:
            assert api.embedded
            assert api.url != url
    (said,) = capsys.readouterr().err.splitlines()
    for part in ("note: ", url, "PREFECT_API_URL", "a server of its own"):
        assert part in said


def test_the_server_of_make_serve_is_used_with_its_auth_string(
    monkeypatch: pytest.MonkeyPatch, no_settings: None
) -> None:
    with _serving({"/api/health": True, "/api/admin/version": version("prefect")}) as url:
        with announced(ServedApi(url, version("prefect"), os.getpid(), "me:secret")) as is_announced:
            assert is_announced
            with prefect_api() as api:
                assert (api.url, api.embedded) == (url, None)
                assert os.environ["PREFECT_API_URL"] == url
                assert os.environ["PREFECT_API_AUTH_STRING"] == "me:secret"
            with announced(ServedApi("http://127.0.0.1:1/api", "", 1)) as is_announced:
                assert not is_announced
            assert served_api() == ServedApi(url, version("prefect"), os.getpid(), "me:secret")
        assert "PREFECT_API_URL" not in os.environ
        assert served_api() is None


def test_a_server_of_make_serve_of_another_version_is_not_used(
    no_settings: None, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"/api/health": True, "/api/admin/version": "3.0.0"}
    with _serving(answers) as url, announced(ServedApi(url, "3.0.0", os.getpid())), prefect_api() as api:
        assert api.embedded
    assert "note: the server of make serve is of Prefect 3.0.0" in capsys.readouterr().err


def test_only_what_this_user_announces_on_this_host_is_found(no_settings: None) -> None:
    here = ServedApi("http://127.0.0.1:4200/api", version("prefect"), os.getpid())
    assert served_api() is None
    with announced(here):
        assert served_api() == here
        file = own_folder() / "serve.json"
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o644)
        assert served_api() is None
    with announced(dataclasses.replace(here, host="another host")):
        assert served_api() is None
    # What a process leaves that is killed: a file, and no lock.
    (own_folder() / "serve.json").write_text(json.dumps(dataclasses.asdict(here)))
    assert served_api() is None


@pytest.mark.parametrize("answers", [{}, {"/api/health": True}, {"/api/health": {"status": "UP"}}])
def test_another_program_at_the_default_address_is_not_taken_for_prefect(answers: dict[str, Any]) -> None:
    with _serving(answers) as url:
        assert not is_prefect_server(url)


def test_configured_server_that_does_not_answer_is_named_without_credentials(no_settings: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    url = f"http://me:secret@127.0.0.1:{port}/api"
    with environment({"PREFECT_API_URL": url}), pytest.raises(RunFailedError) as failure, prefect_api() as api:
        api.wait()
    said = str(failure.value)
    for part in (f"http://127.0.0.1:{port}/api", "prefect server start", "PREFECT_API_URL", "--inline"):
        assert part in said
    assert "secret" not in said
    assert "\n" not in said


def test_configured_address_that_is_not_prefect_is_refused(no_settings: None) -> None:
    with _serving({}) as url:
        with_password = url.replace("//", "//me:secret@")
        said = pytest.raises(RunFailedError, match=r"404")
        with environment({"PREFECT_API_URL": with_password}), said as failure, prefect_api() as api:
            api.wait()
    assert "secret" not in str(failure.value)


def test_nothing_configured_is_known_without_importing_prefect(no_settings: None) -> None:
    assert not may_be_configured()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prefect/profiles.toml", '[profiles.mine]\nPREFECT_API_URL = "http://x/api"'),
        ("prefect.toml", '[api]\nurl = "http://x/api"'),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://x/api"'),
        (".env", "PREFECT_API_URL=http://x/api"),
    ],
)
def test_every_file_that_may_name_a_server_is_seen(no_settings: None, name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert may_be_configured()


class _serving:  # noqa: N801
    """A small HTTP server that answers some paths with JSON, others with 404."""

    def __init__(self, answers: dict[str, Any]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answers.get(self.path, "no such page")).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing: the test's output is that of the program under test."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
