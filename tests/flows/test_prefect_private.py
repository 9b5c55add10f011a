"""Each undocumented name of Prefect that is used, and what breaks when a release changes it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE = {"create_app", "refresh_global_settings_context", "drain_all"}


def test_the_server_application_can_be_made_without_services() -> None:
    """Else the embedded server starts schedulers and mounts the UI: slower, and it competes for the database."""
    from prefect.server.api.server import create_app

    parameters = inspect.signature(create_app).parameters
    assert {"ephemeral", "final"} <= set(parameters)


def test_settings_are_read_again_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Prefect's threads send logs and events to where the environment pointed when Prefect was imported."""
    from prefect.settings import get_current_settings

    from flows.prefect_private import refresh_settings

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    refresh_settings()
    assert get_current_settings().api.url == "http://127.0.0.1:9/api"
    monkeypatch.undo()
    refresh_settings()
    assert get_current_settings().api.url != "http://127.0.0.1:9/api"


def test_the_clients_queues_can_be_emptied() -> None:
    """Else the last log lines and task states of a run are lost with its embedded server, and the end takes minutes."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        assert "timeout" in inspect.signature(worker.drain_all).parameters


def test_no_other_module_uses_an_undocumented_name() -> None:
    for folder in ("dsir_core", "tasks", "flows", "deployments"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "prefect_private.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prefect"):
                    names = [node.module or "", *(alias.name for alias in node.names)]
                    assert not [name for name in names if name in PRIVATE or "._" in name or name[0] == "_"], path
                if isinstance(node, ast.Attribute):
                    assert node.attr not in PRIVATE, path
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert "PREFECT__" not in node.value, path
