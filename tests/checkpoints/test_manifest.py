"""A workdir knows what the last run to each output needs, whatever directory the run was started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsir_core.checkpoints.cleaning import plan_cleaning
from dsir_core.checkpoints.manifest import Manifest, Recorded, recorded_runs, unneeded
from dsir_core.checkpoints.store import Entry, Store
from dsir_core.digests import digest
from dsir_core.errors import RequestError, RunFailedError
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
    found, _ = unneeded(store.entries(), recorded_runs(store), before=2e10)
    assert sorted(entry.name for entry in found) == sorted(left)


def test_a_run_is_recorded_from_its_beginning_to_its_end(store: Store) -> None:
    manifest = Manifest(store, "s3://bucket/out")
    manifest.begin()
    manifest.need("count", ["counts/1", "counts/2"])
    manifest.need("count", ["counts/3"])
    manifest.need("score", ["weights/1"])
    (begun,) = recorded_runs(store)
    assert (begun.output, begun.begun is None, begun.ended, begun.stages) == ("s3://bucket/out", False, None, {})
    assert begun.needs == {"count": ["counts/1", "counts/2", "counts/3"], "score": ["weights/1"]}
    assert begun.folder == f"runs/{digest('s3://bucket/out')[:16]}"
    manifest.end({"count": {"shards": 3}})
    (ended,) = recorded_runs(store)
    assert (ended.begun, ended.ended is None, ended.stages) == (None, False, {"count": {"shards": 3}})
    assert ended.needs == begun.needs


def test_a_list_without_a_run_and_foreign_files_are_no_runs(store: Store) -> None:
    for name in ("count.txt", "notes.md"):
        store.write(f"runs/{'a' * 16}/{name}", b"counts/1\n")
    assert recorded_runs(store) == []


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"{}", b'{"output": "out", "stages": 3}'])
def test_a_damaged_record_is_named(store: Store, head: bytes) -> None:
    name = f"runs/{'a' * 16}/head.json"
    store.write(name, head)
    with pytest.raises(RunFailedError, match=f"{name} is damaged.*or remove the folder"):
        recorded_runs(store)


def test_files_of_the_same_moment_and_younger_ones_stay() -> None:
    entries = [Entry(f"counts/{str(n) * 64}.npy", 1, float(n)) for n in range(5)]
    needed = Recorded("runs/a", "out", None, None, {}, {"count": [f"counts/{'1' * 64}"]})
    assert [entry.modified for entry in unneeded(entries, [needed], before=3.0)[0]] == [0.0, 2.0]


def test_what_a_run_needs_is_cleaned_when_the_run_is_forgotten(store: Store) -> None:
    with pytest.raises(RequestError, match="no workdir there"):
        plan_cleaning(store, forget=[], before=2e10)
    for output, digit in (("s3://b/one", "1"), ("s3://b/two", "2")):
        record(store, output, f"counts/{digit * 64}")
        store.write(f"counts/{digit * 64}.npy", b"x")
    store.write("counts/notes.txt", b"x")
    assert plan_cleaning(store, forget=[], before=2e10).removable == []
    found = plan_cleaning(store, forget=["s3://b/one"], before=2e10)
    folder = f"runs/{digest('s3://b/one')[:16]}"
    assert {entry.name for entry in found.removable} == {
        f"counts/{'1' * 64}.npy",
        f"{folder}/head.json",
        f"{folder}/count.txt",
    }
    assert (found.n_files, len(found.kept)) == (6, 1)
    with pytest.raises(RequestError, match="--forget s3://b/three: no run to it"):
        plan_cleaning(store, forget=["s3://b/three"], before=2e10)
