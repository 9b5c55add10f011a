"""A folder of a user's own files, with what earlier runs have written among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import compare_methods, select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.plan import make_plan
from dsir_core.stages.run import Run
from tests.integration.conftest import DEMO

TARGET = str(DEMO / "targets" / "speeches.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a selection, a comparison and their workdir below it."""
    folder = tmp_path_factory.mktemp("home")
    lines = (DEMO / "raw" / "pool-1.jsonl").read_text().splitlines(keepends=True)
    (folder / "corpus").mkdir()
    (folder / "corpus" / "part-0.jsonl").write_text("".join(lines[:60]))
    values: dict[str, Any] = {"raw": str(folder / "corpus"), "target": TARGET, "count": 5, "compression": "none"}
    values["workdir"] = str(folder / "runs" / "work")
    select(Run(parse_config({**values, "output": str(folder / "runs" / "selected")}), InlineExecutor()))
    compare_methods(Run(parse_config({**values, "output": str(folder / "runs" / "compared")}), InlineExecutor()))
    return folder


def planned(*specs: str | Path) -> tuple[list[str], tuple[str, ...]]:
    config = parse_config({"raw": [str(spec) for spec in specs], "target": TARGET, "count": 1, "output": "/none"})
    found = make_plan(config)
    return [file.path for file in found.raw.corpus.files], found.notes


@pytest.mark.parametrize("spec", [".", "**/*.json*", "corpus"])
def test_a_folder_means_what_no_run_has_written(spec: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    paths, notes = planned(spec)
    assert [path.removeprefix("corpus/") for path in paths] == ["part-0.jsonl"]
    assert [note for note in notes if "earlier runs" in note] == [] if spec == "corpus" else notes
    assert not any("no known kind" in note for note in notes)


def test_an_output_that_is_named_is_read_without_its_lists(folder: Path) -> None:
    paths, _ = planned(folder / "runs" / "selected")
    assert paths == ["part-00000.jsonl"]
    paths, notes = planned(folder / "runs" / "selected" / "part-*")
    assert (paths, notes) == (["part-00000.jsonl"], ())
    paths, _ = planned(folder / "corpus", folder / "runs" / "selected" / "part-00000.jsonl")
    assert paths == ["corpus/part-0.jsonl", "runs/selected/part-00000.jsonl"]


def test_a_folder_of_nothing_else_is_refused(folder: Path) -> None:
    with pytest.raises(RequestError, match="raw: all its files lie in workdirs and outputs of earlier runs"):
        planned(folder / "runs")
