"""A workdir knows what the last run to each output needs, whatever directory the run was started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsir_core.checkpoints.manifest import Manifest, recorded_runs, unneeded
from dsir_core.checkpoints.store import Store
from flows.cli import main


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "work"))


def record(store: Store, output: str, name: str) -> None:
    manifest = Manifest(store, output)
    manifest.begin()
    manifest.need("count", [name])
    manifest.end({})


def test_relative_outputs_of_two_working_directories_are_two_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        record(store, "out", f"counts/{folder * 64}")
    runs = recorded_runs(store)
    assert [(run.output, list(run.names())) for run in runs] == [
        (f"{tmp_path}/{folder}/out", [f"counts/{folder * 64}"]) for folder in ("a", "b")
    ]


@pytest.mark.parametrize("output", ["out", "./out", "out/", "file://{}/out", "{}/out"])
def test_one_output_by_several_names_is_one_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    record(store, "out", "counts/1")
    record(store, output.format(tmp_path), "counts/2")
    (run,) = recorded_runs(store)
    assert list(run.names()) == ["counts/2"]


@pytest.mark.parametrize("output", ["", "s3://bucket/out", "memory://out"])
def test_other_outputs_are_recorded_as_they_are(store: Store, output: str) -> None:
    record(store, output, "counts/1")
    assert [run.output for run in recorded_runs(store)] == [output]


def test_an_output_is_forgotten_by_its_relative_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    record(store, "out", "counts/1")
    assert main(["clean", store.url, "--forget", "out", "--hours", "0"]) == 0
    assert recorded_runs(store) == []
    assert "0 outputs" in capsys.readouterr().out


def test_what_a_killed_write_left_is_needed_by_no_run(store: Store) -> None:
    record(store, "", f"counts/{'0' * 64}")
    (folder,) = (run.folder for run in recorded_runs(store))
    left = [f"counts/.incoming-{'a' * 8}", f"{folder}/.incoming-{'b' * 8}"]
    for name in (*left, f"counts/{'0' * 64}.npy"):
        store.write(name, b"half")
    found = unneeded(store.entries(), recorded_runs(store), before=2e10)
    assert sorted(entry.name for entry in found) == sorted(left)
