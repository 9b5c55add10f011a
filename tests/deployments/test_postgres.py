"""PostgreSQL as the database of Prefect's server: what `make serve` starts, and runs of three deployments at once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests.deployments.conftest import request, serving
from tests.postgres import USER, postgres_server

pytestmark = pytest.mark.server


def test_runs_of_three_deployments_at_once_are_recorded_in_postgresql(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user
        with postgres_server(Path(folder) / "server") as database:
            url = f"postgresql+asyncpg://{USER}@{database}"
            with serving(tmp_path / "prefect", settings={"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}) as served:
                names = {"a": "select", "b": "compare", "c": "score", "d": "select"}
                runs = [served.start(name, request(tmp_path / place, inline=True)) for place, name in names.items()]
                assert [served.wait(run) for run in runs] == ["COMPLETED"] * 4
            assert not (tmp_path / "prefect" / "prefect.db").exists()
    digests = {json.loads((tmp_path / name / "output/report.json").read_text())["selection_digest"] for name in "ad"}
    assert len(digests) == 1
