"""The pages on deploying, command by command: a newcomer comes to runs on demand, by schedule and over two hosts."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import fsspec
import httpx
import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

from tasks.cluster_settings import parse_cluster
from tests.deployments.conftest import ROOT
from tests.s3 import s3_server
from tests.waiting import until

PAGES = ("deploying.md", "clusters.md", "containers.md")
"""In the order in which they are read."""

PAGE = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in PAGES)
PATIENCE = 400.0
SAYS = {"serve": "started!", "scheduler": "Scheduler at:", "worker": "Registered to:"}
"""What each of the page's terminals says when it is ready."""


class Block(NamedTuple):
    """A fenced block: its language, what stands behind it (`terminal=NAME`, `wait=DEPLOYMENT`, `check`, `engine`)."""

    language: str
    kind: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


def blocks(language: str, *kinds: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and block.kind.partition("=")[0] in kinds]


def test_every_command_of_the_page_is_tested_in_one_way_or_another() -> None:
    known = {("sh", kind) for kind in ("", "terminal", "wait", "check", "engine")} | {("yaml", ""), ("python", "")}
    assert {(block.language, block.kind.partition("=")[0]) for block in BLOCKS} == known


def clusters() -> list[Any]:
    found = [document for block in blocks("yaml", "") for document in yaml.safe_load_all(block.text)]
    return [document["cluster"] for document in found]


@pytest.mark.parametrize("settings", clusters(), ids=lambda settings: next(iter(settings)))
def test_clusters_of_the_page_are_settings(settings: Any) -> None:
    assert parse_cluster(settings).model_dump(by_alias=True, exclude_unset=True) == settings


def commands(kind: str) -> list[list[str]]:
    joined = [line for block in blocks("sh", kind) for line in block.text.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in joined]


@pytest.mark.parametrize("words", commands("check"), ids=lambda words: " ".join(words[:2]))
def test_dask_knows_the_options_of_the_page(words: list[str]) -> None:
    command: click.Command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[1]]
    with pytest.raises(click.BadParameter, match=r"ca\.pem"):  # known, and looked for where there is none
        command.make_context(words[1], words[2:])


def test_what_an_engine_is_given_is_there() -> None:
    for words in commands("engine"):
        paths = [word for word in words if word.startswith("deployments/")]
        assert all((ROOT / path).exists() for path in paths)
    image = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text())["x-dsir"]["image"]
    assert image in PAGE


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory that is as a clone after `make install`."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ("runs", ".git", ".venv"):
            (folder / path.name).symlink_to(path)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".installed":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / ".installed").touch()  # else `make serve` would install
    return folder


class Terminals:
    """Shells in one directory, as a newcomer has them open."""

    def __init__(self, folder: Path, home: Path, replaced: dict[str, str], stack: ExitStack) -> None:
        self.folder, self.replaced, self._stack = folder, replaced, stack
        taken = ("PREFECT_", "AWS_", "DASK_", "VIRTUAL_ENV", "MAKE")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(taken)}
        self._environment |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        self._mine = self._shell("mine", subprocess.PIPE)
        self._blocks = 0

    def open(self, name: str, text: str, says: str) -> None:
        """Run a block in a terminal of its own, which stays open, and wait until it says something."""
        shell = self._shell(name, subprocess.PIPE)
        assert shell.stdin is not None
        shell.stdin.write(self._as_here(text))
        shell.stdin.close()
        until(lambda: says in self.log(name) or shell.poll() is not None)
        assert shell.poll() is None, self.log(name)

    def run(self, text: str) -> str:
        """Run a block in the terminal that all the rest goes into; what it says."""
        self._blocks += 1
        before, done = len(self.log("mine")), f"block {self._blocks} is done"
        assert self._mine.stdin is not None
        self._mine.stdin.write(f"{self._as_here(text)}\necho {done}\n")
        self._mine.stdin.flush()
        until(lambda: done in self.log("mine")[before:] or self._mine.poll() is not None, PATIENCE)
        said = self.log("mine")[before:]
        assert self._mine.poll() is None, f"{text}\n{said}"
        return said

    def log(self, name: str) -> str:
        return (self.folder.parent / f"{name}.log").read_text(errors="replace")

    def _as_here(self, text: str) -> str:
        for theirs, ours in self.replaced.items():
            text = text.replace(theirs, ours)
        return text

    def _shell(self, name: str, stdin: int) -> subprocess.Popen[str]:
        with (self.folder.parent / f"{name}.log").open("w") as log:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail"],
                cwd=self.folder,
                env=self._environment,
                stdin=stdin,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._stack.callback(end, shell)
        return shell


def end(shell: subprocess.Popen[str]) -> None:
    """Ctrl-C, as a newcomer ends what runs in a terminal; and what ignores it is killed."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(shell.pid, number)
            shell.wait(timeout=60)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return str(bound.getsockname()[1])


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The image that a cluster's runner has, by a kubectl that says nothing else."""
    image = "registry.example.org/dsir-pipeline@sha256:" + "a" * 64
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec echo {image}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return image


@contextmanager
def terminals(clone: Path, replaced: dict[str, str]) -> Iterator[Terminals]:
    with ExitStack() as stack:
        yield Terminals(clone, clone.parent / "prefect", replaced, stack)


@pytest.mark.server
def test_a_newcomer_follows_the_page(clone: Path, tmp_path: Path, kubectl: str) -> None:
    port = free_port()
    with s3_server(tmp_path / "s3") as server, terminals(clone, {}) as here:
        storage = fsspec.filesystem(
            "s3",
            key=server.key,
            secret=server.secret,
            endpoint_url=server.endpoint,
            skip_instance_cache=True,
        )
        storage.mkdir("corpus")
        here.replaced |= {
            "make serve": f"make serve PORT={port}",
            ":4200": f":{port}",
            "8786": free_port(),
            "http://127.0.0.1:8333": server.endpoint,
            "AWS_ACCESS_KEY_ID=dsir": f"AWS_ACCESS_KEY_ID={server.key}",
            "a-secret-of-yours": server.secret,
        }
        for block in blocks("sh", "", "terminal", "wait"):
            kind, _, name = block.kind.partition("=")
            if kind == "terminal" and name != "s3":  # that one runs already, at ports that are free
                here.open(name, block.text, SAYS[name.partition("-")[0]])
            elif kind != "terminal":
                if kind == "wait":
                    until(lambda name=name: completed(port, name))
                here.run(block.text)
        assert storage.exists("corpus/selected/report.json")
        digests = {json.loads(storage.cat("corpus/selected/report.json"))["selection_digest"]}
    for name in ("on-demand", "nightly"):
        report = json.loads((clone / "runs" / name / "report.json").read_text())
        assert report["documents"]["selected"] == 100
        digests.add(report["selection_digest"])
    assert len(digests) == 1
    assert (
        json.loads((clone / "runs" / "job.json").read_text())["variables"]["properties"]["image"]["default"] == kubectl
    )
    assert here.log("serve").rstrip().endswith("stopped")


def completed(port: str, deployment: str) -> bool:
    """Whether a scheduled run of a deployment has completed."""
    asked = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    found = httpx.post(f"http://127.0.0.1:{port}/api/flow_runs/filter", json=asked, timeout=30, trust_env=False)
    return found.is_success and any(run["auto_scheduled"] for run in found.json())
