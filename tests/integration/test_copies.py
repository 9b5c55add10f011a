"""What a user is promised of copies: seen in the selection, and with --dedup exact as if they were not in raw."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.stages.run import Run
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tests.integration.conftest import DEMO, Select, demo_records

SPEECHES = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}
ACCOUNT = ("selected", "rejected", "ineligible", "copies", "target_copies", "excluded", "bad")

Rows = list[tuple[str, int]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo in three files with copies within and across them; the third holds all documents of the target."""
    folder = tmp_path_factory.mktemp("copies")
    lines = [json.dumps(record) + "\n" for record in demo_records()]
    targets = (DEMO / "targets" / "speeches.jsonl").read_text().splitlines(keepends=True)
    (folder / "a.jsonl").write_text("".join(lines[:500] + lines[:50]))
    (folder / "b.jsonl").write_text("".join(lines[:500:10] * 2 + lines[500:900]))
    (folder / "c.jsonl").write_text("".join(targets) + '{"text": 1}\n')
    return folder


def texts_at(raw: Path, rows: Rows) -> list[str]:
    files = {path.name: path.read_bytes() for path in raw.iterdir()}
    return [json.loads(files[file][position:].split(b"\n", 1)[0])["text"] for file, position in rows]


def selected(output: Path) -> Rows:
    table = pq.read_table(output / "selected.parquet")
    return list(zip(table["file"].to_pylist(), table["position"].to_pylist(), strict=True))


def all_documents(raw: Path, skip: Sequence[str] = ()) -> dict[tuple[str, int], str]:
    found, at = {}, 0
    for path in sorted(raw.iterdir()):
        at = 0
        for line in path.read_bytes().splitlines(keepends=True):
            text = json.loads(line)["text"]
            if isinstance(text, str) and text not in skip:
                found[path.name, at] = text
            at += len(line)
    return found


def request(raw: Path, **settings: Any) -> dict[str, Any]:
    return {"raw": [str(raw)], "target": SPEECHES, "count": 100, "max_bad_fraction": 0.1, "overwrite": True, **settings}


def test_copies_and_target_documents_among_the_selected_are_counted_and_told(
    run_select: Select, raw: Path, tmp_path: Path
) -> None:
    report = run_select(**request(raw, count=300))
    texts = Counter(texts_at(raw, selected(tmp_path / "output")))
    target = {json.loads(line)["text"] for line in Path(SPEECHES["speeches"]).read_text().splitlines()}
    assert report["copies"] == {
        "documents": 300,
        "copies": 300 - len(texts),
        "largest": max(texts.values()),
        "in_target": sum(n for text, n in texts.items() if text in target),
    }
    assert report["copies"]["largest"] > 2
    assert report["copies"]["in_target"] == 60
    assert any("in the selection: 60 of 300 documents" in note for note in report["notes"])
    assert any("--dedup exact" in note for note in report["notes"])


@pytest.mark.parametrize(
    "settings",
    [
        {"dedup": "exact", "temperature": 300.0, "shard_bytes": 200_000},
        {"exclude_target_copies": True, "tokens": 40_000, "count": None},
        {"dedup": "exact", "exclude_target_copies": True, "method": "top-k", "fraction": 0.05, "count": None},
    ],
    ids=str,
)
def test_what_is_left_out_is_left_out_as_if_it_were_not_there(
    run_select: Select, raw: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """By key, the selection is that of all documents without the later copies, and without those of the target."""
    report = run_select(**request(raw, **settings))
    rows = selected(tmp_path / "output")
    target = [json.loads(line)["text"] for line in Path(SPEECHES["speeches"]).read_text().splitlines()]
    kept: dict[tuple[str, int], str] = {}
    left_out = set[str]() if settings.get("dedup") else None
    for place, text in all_documents(raw, target if settings.get("exclude_target_copies") else ()).items():
        if left_out is None or text not in left_out:
            kept[place] = text
        if left_out is not None:
            left_out.add(text)
    assert set(rows) <= set(kept)
    assert report["documents"]["eligible"] <= len(kept)
    assert report["documents"]["raw"] == sum(report["documents"][key] for key in ACCOUNT)
    assert report["documents"]["bad"] == 1
    n_all = len(all_documents(raw))
    assert report["documents"]["copies"] + report["documents"]["target_copies"] <= n_all - len(kept)
    if settings.get("dedup"):
        assert report["copies"]["copies"] == 0
        assert len(set(texts_at(raw, rows))) == len(rows)
    if settings.get("exclude_target_copies"):
        assert report["copies"]["in_target"] == 0
        assert report["documents"]["target_copies"] == 60


def test_a_deduplicated_corpus_gives_the_same_selection(run_select: Select, raw: Path, tmp_path: Path) -> None:
    """The same files with copies blanked, so that positions and the noise stay as they are."""
    clean = tmp_path / "clean"
    clean.mkdir()
    seen = set[str]()
    for path in sorted(raw.iterdir()):
        lines = []
        for line in path.read_bytes().splitlines(keepends=True):
            text = json.loads(line)["text"]
            lines.append(b" " * (len(line) - 1) + b"\n" if text in seen else line)
            seen.add(text)
        (clean / path.name).write_bytes(b"".join(lines))
    # The model of raw is fitted on the copies, too: random selection goes by the noise alone.
    digests = [
        run_select(**request(folder, method="random", seed=3, dedup=dedup, shard_bytes=n))["selection_digest"]
        for folder, dedup, n in ((raw, "exact", 10**9), (raw, "exact", 100_000), (clean, "none", 10**9))
    ]
    assert len(set(digests)) == 1


def test_selections_without_copies_are_the_same_with_dedup(run_select: Select, pool: Path) -> None:
    plain, unique = (run_select(**request(pool, dedup=dedup)) for dedup in ("none", "exact"))
    assert plain["documents"]["copies"] == unique["documents"]["copies"] == 0
    assert plain["selection_digest"] == unique["selection_digest"]


def test_chunks_are_compared_with_chunks_of_the_target(run_select: Select, raw: Path) -> None:
    settings = {"chunk": {"words": 100}, "min_tokens": 30, "count": 400}
    report = run_select(**request(raw, **settings))
    assert report["copies"]["in_target"] > 60
    without = run_select(**request(raw, exclude_target_copies=True, dedup="exact", **settings))
    assert without["copies"] == {"documents": 400, "copies": 0, "largest": 1, "in_target": 0}
    assert without["documents"]["raw"] == sum(without["documents"][key] for key in ACCOUNT)


@pytest.mark.long
def test_workers_find_the_same_copies_and_the_same_recovery(run_select: Select, raw: Path, tmp_path: Path) -> None:
    asked = request(raw, dedup="exact", exclude_target_copies=True, shard_bytes=200_000, smoothing="auto")
    inline = run_select(**asked)
    places = {"output": str(tmp_path / "dask"), "workdir": str(tmp_path / "dask.work")}
    with local_cluster(2, processes=False) as client:
        dask = select(Run(parse_config(asked | places), DaskExecutor(client)))
    for key in ("documents", "copies", "recovery", "selection_digest"):
        assert dask[key] == inline[key]


def test_copies_are_looked_for_once(run_select: Select, raw: Path) -> None:
    asked = request(raw, dedup="exact", shard_bytes=400_000)
    run_select(**asked)
    again = run_select(**{**asked, "count": 120})
    for stage in ("score", "mark"):
        assert again["stages"][stage]["reused"] == again["stages"][stage]["shards"] > 1
