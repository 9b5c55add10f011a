"""`dsir diff`: two finished selections side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsir_core
from dsir_core.checkpoints.store import Store
from dsir_core.errors import RequestError
from dsir_core.shards import shared_documents
from dsir_core.shards.selection_list import NAME
from dsir_core.shards.shared_documents import N_NAMED, Parts, shared_by_key, shared_by_place
from flows.cli import main
from tests.report.conftest import Select
from tests.report.conftest import pool as pool  # the fixtures
from tests.report.conftest import run_select as run_select

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dsir(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs the command: status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def outputs(run_select: Select, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two selections of the demo by other settings, with strata."""
    folder = tmp_path_factory.mktemp("differences")
    shared = {"workdir": str(folder / "workdir"), "strata": "shelf"}
    run_select("first", count=50, output=str(folder / "a"), **shared)
    run_select("second", count=80, output=str(folder / "b"), length_normalise="none", **shared)
    return folder / "a", folder / "b"


def places_of(output: Path) -> set[tuple[str, int]]:
    rows = pq.read_table(output / NAME).to_pylist()
    return {(row["file"], row["position"]) for row in rows}


def test_documents_are_counted_in_both_and_in_one_alone(outputs: tuple[Path, Path]) -> None:
    first, second = map(places_of, outputs)
    found = dsir_core.diff(*outputs)
    assert found.shared.both == len(first & second) > 0
    assert found.shared.only == (len(first - second), len(second - first))
    assert found.shared.only != (0, 0)
    for named, alone in zip(found.shared.named, (first - second, second - first), strict=True):
        assert list(named) == [f"{file} at {position}" for file, position in sorted(alone)][:N_NAMED]
    assert not found.is_same
    assert dsir_core.diff(outputs[0], outputs[0]).is_same


def test_a_key_finds_the_same_documents_as_their_places(
    outputs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_documents, "GROUP_KEYS", 7)  # many groups
    by_place, by_key = dsir_core.diff(*outputs).shared, dsir_core.diff(*outputs, key="id").shared
    assert (by_key.both, by_key.only) == (by_place.both, by_place.only)
    ids = [{json.loads(line)["id"] for line in records(output)} for output in outputs]
    for side, named in enumerate(by_key.named):
        assert len(named) == min(N_NAMED, by_key.only[side])
        assert set(named) <= ids[side] - ids[1 - side]


def records(output: Path) -> list[str]:
    return [line for path in output.glob("part-*.jsonl") for line in path.read_text().splitlines()]


PLACES = st.sets(st.tuples(st.sampled_from(["a", "b/c", "é"]), st.integers(0, 30)), max_size=40)


@given(first=PLACES, second=PLACES)
def test_any_two_lists_are_compared_as_sets(
    tmp_path_factory: pytest.TempPathFactory, first: set[tuple[str, int]], second: set[tuple[str, int]]
) -> None:
    stores = []
    for places in (first, second):
        folder = tmp_path_factory.mktemp("list")
        files, positions = [file for file, _ in sorted(places)], [position for _, position in sorted(places)]
        table = pa.table({"file": pa.array(files, pa.string()), "position": pa.array(positions, pa.int64())})
        pq.write_table(table, folder / NAME)
        stores.append(Store(str(folder)))
    found = shared_by_place((stores[0], stores[1]))
    assert (found.both, found.only) == (len(first & second), (len(first - second), len(second - first)))


def test_a_list_out_of_order_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["b", "a"], "position": [0, 0]}), tmp_path / NAME)
    with pytest.raises(RequestError, match="not in order"):
        shared_by_place((Store(str(tmp_path)), Store(str(tmp_path))))


@given(keys=st.lists(st.lists(st.integers(0, 20), max_size=30), min_size=2, max_size=2))
def test_records_of_one_key_count_once(tmp_path_factory: pytest.TempPathFactory, keys: list[list[int]]) -> None:
    parts = []
    for side in keys:
        folder = tmp_path_factory.mktemp("parts")
        (folder / "part-00000.jsonl").write_text("".join(json.dumps({"k": {"n": n}}) + "\n" for n in side))
        parts.append(Parts(str(folder), ["part-00000.jsonl"], len(side)))
    found = shared_by_key((parts[0], parts[1]), "k.n")
    first, second = map(set, keys)
    assert (found.both, found.only) == (len(first & second), (len(first - second), len(second - first)))


def test_figures_strata_and_settings_stand_side_by_side(outputs: tuple[Path, Path], dsir: Shell) -> None:
    reports: list[Any] = [json.loads((output / "report.json").read_text()) for output in outputs]
    status, shown, _ = dsir("diff", *outputs, "--json")
    assert status == 0
    found = json.loads(shown)
    assert found["figures"]["documents.selected"] == [50, 80]
    assert found["figures"]["recovery.speeches.recovered"] == [
        report["recovery"]["speeches"]["recovered"] for report in reports
    ]
    assert found["strata"] == {
        name: [report["strata"][name]["selected"] for report in reports] for name in ("shelf 0", "shelf 1", "shelf 2")
    }
    assert found["settings"] == {"count": [50, 80], "length_normalise": ["tokens", "none"]}
    status, shown, _ = dsir("diff", *outputs)
    assert status == 0
    for line in ("length_normalise +tokens -> none", "documents.selected +50 +80", "in both +[0-9]+ +[0-9.]+% of A"):
        assert re.search(line, shown), line


def test_what_cannot_be_compared_is_said(
    outputs: tuple[Path, Path], run_select: Select, dsir: Shell, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "raw.jsonl").write_text("\n".join(records(outputs[1])))
    run_select("moved", raw=(str(moved),), count=50, output=str(tmp_path / "c"), workdir=str(tmp_path / "w"))
    assert "raw lies in " in " ".join(dsir_core.diff(outputs[0], tmp_path / "c").notes)
    assert dsir_core.diff(outputs[1], tmp_path / "c", key="id").shared.both == 50
    for words, said in (
        ((outputs[0], tmp_path), "no report.json"),
        ((*outputs, "--key", "none"), "in the field 'none': name another key"),
    ):
        status, _, error = dsir("diff", *words)
        assert (status, error.count("\n")) == (2, 1)
        assert said in error


@pytest.mark.parametrize(
    "lacking", ["tokens", "recovery", "targets", "weights", "copies", "strata", "corpus", "versions", "time", "config"]
)
def test_reports_of_older_versions_lack_keys_and_are_compared(
    outputs: tuple[Path, Path], tmp_path: Path, lacking: str
) -> None:
    older = tmp_path / "older"
    older.mkdir()
    report = json.loads((outputs[0] / "report.json").read_text())
    del report[lacking], report["model_digest"]
    (older / "report.json").write_text(json.dumps(report))
    (older / NAME).write_bytes((outputs[0] / NAME).read_bytes())
    found, whole = dsir_core.diff(older, outputs[1]), dsir_core.diff(*outputs)
    assert found.shared == whole.shared
    assert all(
        pair in (whole.figures.get(name), (None, whole.figures[name][1])) for name, pair in found.figures.items()
    )


def test_a_damaged_list_ends_in_one_line(
    outputs: tuple[Path, Path], run_select: Select, dsir: Shell, tmp_path: Path
) -> None:
    run_select("damaged", count=5, output=str(tmp_path / "d"), workdir=str(tmp_path / "w"))
    pq.write_table(pa.table({"file": ["a"]}), tmp_path / "other.parquet")
    for data in (b"PAR1", (tmp_path / "other.parquet").read_bytes()):
        (tmp_path / "d" / NAME).write_bytes(data)
        status, _, error = dsir("diff", outputs[0], tmp_path / "d")
        assert (status, error.count("\n")) == (2, 1)
        assert "selected.parquet cannot be read" in error
