"""What a release is made by: one version, a workflow that GitHub understands, and limits that CI stays within."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="module")
def release() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    return found


SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "github-workflows"),
    **{ROOT / ".github" / "ISSUE_TEMPLATE" / name: "github-issue-forms" for name in ("bug.yml", "feature.yml")},
    ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml": "github-issue-config",
    ROOT / "CITATION.cff": "citation-file-format",
}


@pytest.mark.parametrize(("path", "schema"), SCHEMAS.items(), ids=lambda value: getattr(value, "name", value))
def test_a_file_is_what_its_readers_expect(path: Path, schema: str) -> None:
    command = [Path(sysconfig.get_path("scripts")) / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_citation_names_the_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION


def test_what_is_published_is_what_was_built_and_tried(release: dict[str, Any]) -> None:
    build, publish = release["jobs"]["build"], release["jobs"]["publish"]
    assert "make release-check" in [step.get("run") for step in build["steps"]]
    assert publish["needs"] == "build"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_only_publishing_may_do_more_than_read(release: dict[str, Any]) -> None:
    assert release["permissions"] == {}
    assert release["jobs"]["build"]["permissions"] == {"contents": "read"}
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_shell_steps_hold_no_expression_that_a_tag_could_fill(path: Path) -> None:
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    assert [step for step in steps if "${{" in step.get("run", "")] == []


def test_the_oldest_and_the_newest_versions_are_tested_on_the_oldest_and_the_newest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "versions.yml").read_text())
    (job,) = workflow["jobs"].values()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = [re.search(r"3\.\d+$", each) for each in project["classifiers"] if "Python :: 3." in each]
    versions = [found[0] for found in pythons if found]
    assert job["strategy"]["matrix"]["include"] == [
        {"versions": "lowest", "python": versions[0]},
        {"versions": "newest", "python": versions[-1]},
    ]
    targets = re.findall(r"^test-(\w+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {each["versions"] for each in job["strategy"]["matrix"]["include"]} <= set(targets)
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read"}


def test_images_are_tagged_with_the_version() -> None:
    folder = ROOT / "deployments"
    pages = [*(ROOT / "docs").glob("*.md"), *folder.rglob("*.yaml"), folder / "Dockerfile"]
    tagged = [tag for page in pages for tag in re.findall(r"(?:dsir-pipeline:|newTag: )([\w.]+)", page.read_text())]
    assert len(tagged) >= 4
    assert set(tagged) == {VERSION}


def test_limits_of_ci_add_up_to_less_than_an_hour() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    limits = [int(minutes) for minutes in re.findall(r"^ *step (\d+)m ", script, re.MULTILINE)]
    assert len(limits) >= 4
    assert sum(limits) < 60
