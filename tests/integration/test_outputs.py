"""What a user is promised of an output directory: whole or said not to be, and files of others stay."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.manifest import Manifest
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run, StageFailedError
from tests.integration.conftest import TARGET, Select, lines_of


@pytest.fixture(scope="module")
def pool(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the demo's raw corpus: some of these tests run hundreds of selections."""
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    path.write_bytes(b"".join(pool.read_bytes().splitlines(keepends=True)[:300]))
    return path


def test_files_of_others_at_the_output_are_never_touched(run_select: Select, pool: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "part-1.jsonl").write_bytes(pool.read_bytes())
    (output / "notes.txt").write_text("mine")
    for flags in ({}, {"overwrite": True}):
        with pytest.raises(RequestError, match=r"part-1\.jsonl"):
            run_select(raw=[str(pool)], target=TARGET, count=70, **flags)
    (output / "part-1.jsonl").rename(output / "raw.jsonl")
    with pytest.raises(RequestError, match="lie in the output"):
        run_select(raw=[str(output / "raw.jsonl")], target=TARGET, count=70)
    run_select(raw=[str(pool)], target=TARGET, count=70)
    run_select(raw=[str(pool)], target=TARGET, count=70, overwrite=True)
    assert (output / "notes.txt").read_text() == "mine"
    assert not list(output.glob(".*"))


def test_results_below_the_raw_directory_are_not_read_as_raw(run_select: Select, pool: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl").write_bytes(pool.read_bytes())
    places = {"output": str(raw / "selected"), "workdir": str(raw / "work")}
    first = run_select(raw=[str(raw)], target=TARGET, count=70, **places)
    second = run_select(raw=[str(raw)], target=TARGET, count=70, **places, overwrite=True)
    assert second["documents"] == first["documents"]
    assert second["selection_digest"] == first["selection_digest"]


def test_a_run_that_was_killed_while_writing_is_followed_by_another(
    run_select: Select, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("dsir_core.pipeline.report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_select(raw=[str(pool)], target=TARGET, count=70)
    assert list((tmp_path / "output").glob("part-*"))
    assert run_select(raw=[str(pool)], target=TARGET, count=70)["documents"]["selected"] == 70


@pytest.mark.long
def test_an_output_is_a_whole_selection_or_says_that_it_is_none_wherever_a_replacement_dies(
    run_select: Select, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the output's files is in turn the last one before the process dies."""
    output = tmp_path / "output"
    digests = {}
    for count in (70, 10):
        digests[count] = run_select(raw=[str(pool)], target=TARGET, count=count, overwrite=True)["selection_digest"]
    seen = set()
    for last in itertools.count():
        run_select(raw=[str(pool)], target=TARGET, count=70, overwrite=True)
        left = [last]
        with monkeypatch.context() as patch:
            for name in ("write", "move", "remove"):
                patch.setattr(Store, name, _dying(getattr(Store, name), output, left))
            try:
                run_select(raw=[str(pool)], target=TARGET, count=10, overwrite=True)
                break
            except KeyboardInterrupt:
                pass
        if not (output / "report.json").exists():
            seen.add(None)
            continue
        report = json.loads((output / "report.json").read_text())
        assert report["selection_digest"] == digests[report["documents"]["selected"]]
        assert {part["name"] for part in report["parts"]} == {path.name for path in output.glob("part-*")}
        assert pq.read_metadata(output / "selected.parquet").num_rows == report["documents"]["selected"]
        seen.add(report["documents"]["selected"])
    assert seen >= {70, None}
    assert json.loads((output / "report.json").read_text())["selection_digest"] == digests[10]


def _dying(operation: Any, output: Path, left: list[int]) -> Any:
    def inside(self: Store, *args: Any, **options: Any) -> Any:
        if self.url.startswith(str(output)):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return operation(self, *args, **options)

    return inside


@pytest.mark.long
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_stage_that_is_entered_again_completes_the_same_output_wherever_it_failed(
    run_select: Select, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Every change of the output and of the run's record in turn fails once, as on storage with a bad minute."""

    def enter_again(stage: Any, run: Run, *inputs: Any) -> Any:
        with contextlib.suppress(StageFailedError):
            return stage(run, *inputs)
        failed.append(stage.__name__)
        return stage(run, *inputs)

    output = tmp_path / "output"
    other = {"output": str(tmp_path / "expected"), "workdir": str(tmp_path / "workdir")}
    settings: dict[str, Any] = {"raw": [str(pool)], "target": TARGET, "overwrite": True}
    run_select(**settings, count=70, compression="gzip", **other)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "expected").iterdir()}
    for last in itertools.count():
        shutil.rmtree(output, ignore_errors=True)
        if overwrite:
            run_select(**settings, count=10)
        failed: list[str] = []
        left = [last]
        with monkeypatch.context() as patch:
            for name in ("write", "move", "remove"):
                patch.setattr(Store, name, _failing_once(getattr(Store, name), output, left))
            patch.setattr(Manifest, "end", _failing_once(Manifest.end, None, left))
            values = {**settings, **other, "output": str(output), "count": 70, "compression": "gzip"}
            select(Run(parse_config(values), InlineExecutor()), enter_again)
        found = {path.name: path.read_bytes() for path in output.iterdir()}
        assert set(found) == set(expected), last
        for name in set(expected) - {"report.json", "report.html"}:
            assert found[name] == expected[name]
        if not failed:
            break
    assert last > 3


def test_a_stage_that_is_entered_again_says_its_notes_once(pool: Path, tmp_path: Path) -> None:
    def twice(stage: Any, run: Run, *inputs: Any) -> Any:
        if stage.__name__ == "plan":
            stage(run, *inputs)
        return stage(run, *inputs)

    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(pool.read_bytes())
    (folder / "README").write_text("not a corpus")
    places = {"output": str(tmp_path / "out"), "workdir": str(tmp_path / "work")}
    config = parse_config({"raw": str(folder), "target": TARGET, "count": 70, **places})
    notes = select(Run(config, InlineExecutor()), twice)["notes"]
    assert len([note for note in notes if "README" in note]) == 1


def _failing_once(operation: Any, output: Path | None, left: list[int]) -> Any:
    """An operation (at the output only, where one is given) that does its work and then fails, when its turn comes."""

    def inside(self: Any, *args: Any, **options: Any) -> Any:
        result = operation(self, *args, **options)
        if output is None or self.url.startswith(str(output)):
            left[0] -= 1
            if left[0] == -1:
                raise TimeoutError("storage")
        return result

    return inside


def test_a_damaged_extract_is_taken_again(run_select: Select, pool: Path, tmp_path: Path) -> None:
    first = run_select(raw=[str(pool)], target=TARGET, count=70)
    before = lines_of(tmp_path / "output")
    (extract,) = (tmp_path / "workdir" / "extract").glob("*.jsonl.zst")
    extract.write_bytes(extract.read_bytes()[:100])
    again = run_select(raw=[str(pool)], target=TARGET, count=70, overwrite=True)
    assert again["selection_digest"] == first["selection_digest"]
    assert lines_of(tmp_path / "output") == before


def test_credentials_in_urls_are_not_in_what_is_recorded() -> None:
    config = parse_config(
        {
            "raw": ["https://user:s3cret@host/a.jsonl?X-Signature=s3cret"],
            "target": ["t=https://user:s3cret@host/b.jsonl"],
            "output": "s3://user:s3cret@bucket/out",
            "count": 1,
        }
    )
    assert "s3cret" not in config.redacted().model_dump_json()


def test_a_complete_output_is_not_overwritten_unasked(run_select: Select, pool: Path) -> None:
    first = run_select(raw=[str(pool)], target=TARGET, count=70)
    with pytest.raises(RequestError, match="--overwrite"):
        run_select(raw=[str(pool)], target=TARGET, count=10)
    second = run_select(raw=[str(pool)], target=TARGET, count=10, overwrite=True)
    assert second["documents"]["selected"] == 10
    assert second["stages"]["score"]["reused"] == first["stages"]["score"]["shards"]
