"""What killed runs leave in an output goes; what others write there, or have put there, stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.output_dir import begin_output, commit_output
from dsir_core.stages.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    values = {"raw": "r", "target": "t", "count": 1, "output": str(tmp_path / "out")}
    return Run(parse_config(values), InlineExecutor())


@pytest.fixture
def output(run: Run) -> Path:
    folder = Path(run.config.output)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("end", [False, True])
def test_files_of_killed_writes_are_removed(run: Run, output: Path, end: bool) -> None:
    place = begin_output(run, []) if end else ""
    (output / ".incoming-abcd1_23").write_bytes(b"half a part")
    for foreign in (".incoming-notes.txt", "incoming-abcd1_23", "notes"):
        (output / foreign).write_bytes(b"mine")
    (output / ".incoming-folder00").mkdir()
    if end:
        commit_output(run, place, [], b"{}")
    else:
        begin_output(run, [])
    left = {path.name for path in output.iterdir()} - {"report.json", ".dsir-output.json"}
    assert left == {".incoming-notes.txt", "incoming-abcd1_23", "notes", ".incoming-folder00"}


def test_a_write_under_way_is_left_alone(run: Run, output: Path) -> None:
    with Store(str(output)).writer("part-00000.jsonl") as stream:
        stream.write(b"whole")
        stream.flush()
        begin_output(run, ["part-00000.jsonl"])
    assert (output / "part-00000.jsonl").read_bytes() == b"whole"
    assert not list(output.glob(".incoming-*"))


@pytest.mark.parametrize("cut", [".dsir-output.json", "report.json"])
def test_a_file_that_storage_has_cut_short_does_not_end_the_next_run(run: Run, output: Path, cut: str) -> None:
    begin_output(run, ["part-00000.jsonl"])
    (output / "part-00000.jsonl").write_bytes(b"of the run before")
    (output / cut).write_bytes(b'["part-0')
    place = begin_output(run, [])
    commit_output(run, place, [], b"{}")
    assert [path.name for path in output.iterdir()] == ["report.json"]
