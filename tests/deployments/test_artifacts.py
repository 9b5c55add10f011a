"""What Prefect shows of a run: artifacts by the API and in a real browser, tags, and warnings in the run's log."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import live_page
from tests.deployments.conftest import ROOT, Served, request
from tests.waiting import until

pytestmark = pytest.mark.server


def artifacts(served: Served, run: str) -> dict[str, dict[str, Any]]:
    """A run's artifacts by key."""
    found = served.call("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}, "limit": 100})
    return {artifact["key"]: artifact for artifact in found}


@pytest.fixture(scope="module")
def finished(served: Served, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A run that has completed, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    run = served.start("select", request(folder), cluster={"local": {"workers": 1}})
    assert served.wait(run) == "COMPLETED"
    return run, folder


def test_artifacts_say_what_the_report_says(served: Served, finished: tuple[str, Path]) -> None:
    run, folder = finished
    report = json.loads((folder / "output" / "report.json").read_text())
    found = artifacts(served, run)
    for stage in ("count", "score", "resample", "write"):
        assert (found[f"dsir-{stage}"]["type"], float(found[f"dsir-{stage}"]["data"])) == ("progress", 100.0)
    assert "2,730 documents" in found["dsir-score"]["description"]
    summary = found["dsir-summary"]["data"]
    assert f"{report['documents']['selected']:,} of 2,730 documents selected" in summary
    assert f"{report['targets']['speeches']['kl_reduction']:.3f}" in summary
    assert summary.count("data:image/svg+xml;base64,") >= 3
    assert f"{folder}/output/report.html" in found["dsir-page"]["data"]
    for stage in ("count", "score"):
        assert "slow shard" in {row["what"] for row in json.loads(found[f"dsir-{stage}-table"]["data"])}


def test_a_shard_that_fails_stands_in_the_table_and_in_the_log(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a b c"}\n' * 1000)[:-20])
    wanted = request(tmp_path, inline=True)
    run = served.start("select", wanted | {"raw": [*wanted["raw"], str(path)]})
    assert served.wait(run) == "FAILED"
    rows = json.loads(artifacts(served, run)["dsir-count-table"]["data"])
    (failed,) = [row for row in rows if row["what"] == "failed shard"]
    assert "broken.jsonl.gz" in failed["value"]
    served.hears(run, "broken.jsonl.gz")
    assert "dsir-summary" not in artifacts(served, run)


def test_a_run_of_the_command_is_tagged_and_named(served: Served, tmp_path: Path) -> None:
    wanted = request(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(wanted))
    program = "import sys; from flows.cli import command; command()"
    subprocess.run(
        [sys.executable, "-c", program, "select", str(tmp_path / "config.json"), "--workers", "1"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PREFECT_API_URL": f"{served.url}/api", "PREFECT_HOME": str(served.home)},
        check=True,
        capture_output=True,
    )
    (run,) = served.call("/flow_runs/filter", {"flow_runs": {"name": {"like_": wanted["output"]}}})
    assert {"dsir", "dsir-select"} <= set(run["tags"])
    tasks = served.call("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert {task["name"] for task in tasks} == {
        "plan",
        "count",
        "recover",
        "fit",
        "score",
        "resample",
        "write",
        "report",
    }


@pytest.mark.browser
@pytest.mark.parametrize("width", [1300, 420])
def test_the_ui_shows_figures_charts_and_the_report(
    served: Served, finished: tuple[str, Path], tmp_path: Path, width: int
) -> None:
    run, _ = finished
    with live_page(width=width) as page:
        if width > 1000:  # a narrow window has a menu in place of tabs
            page.goto(f"{served.url}/runs/flow-run/{run}?tab=Artifacts")
            page.get_by_text("Artifacts").last.click()
            expect(page.get_by_text("dsir-score").first).to_be_visible()
            page.screenshot(path=tmp_path / "run.png")
        page.goto(f"{served.url}/artifacts")
        for key in ("dsir-count", "dsir-score", "dsir-write", "dsir-summary", "dsir-page"):
            expect(page.get_by_text(key).first).to_be_visible()
        page.screenshot(path=tmp_path / "artifacts.png")
        summary = artifacts(served, run)["dsir-summary"]["id"]
        page.goto(f"{served.url}/artifacts/artifact/{summary}")
        expect(page.get_by_text("of 2,730 documents selected").first).to_be_visible()
        expect(page.get_by_text("KL reduction").first).to_be_visible()
        pictures = "[...document.images].filter(i => i.src.startsWith('data:image/svg')).map(i => i.naturalWidth)"
        widths = until(lambda: [w for w in page.evaluate(pictures) if w], 30)
        assert len(widths) >= 3
        page.screenshot(path=tmp_path / "charts.png", full_page=True)
        page.goto(f"{served.url}/artifacts/artifact/{artifacts(served, run)['dsir-page']['id']}")
        expect(page.get_by_text("report.html").first).to_be_visible()
