"""Strata, quotas and matched targets: what is asked of each is what is chosen, by the largest keys of each."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError, RunFailedError
from tests.integration.conftest import DEMO, Select, demo_records

TARGETS = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code", "jargon")}
SPEECHES = {"speeches": TARGETS["speeches"]}


def kinds() -> dict[str, str]:
    found: dict[str, str] = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    return found


@pytest.fixture
def raw(tmp_path: Path) -> str:
    """The demo's records with their kind, as two JSONL files and one Parquet file."""
    folder = tmp_path / "raw"
    folder.mkdir()
    labels = kinds()
    records = [{**record, "kind": labels[record["id"]]} for record in demo_records()]
    for part in range(2):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[part::3]))
    table = pa.Table.from_pylist([{key: r[key] for key in ("id", "text", "kind")} for r in records[2::3]])
    pq.write_table(table, folder / "2.parquet", row_group_size=200)
    return str(folder)


def rows_of(output: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output / "selected.parquet").to_pylist()
    return rows


def keys_by_place(
    run_select: Select, raw: str, tmp_path: Path, **settings: Any
) -> dict[tuple[str, int], dict[str, Any]]:
    """All documents with their keys, by a run that takes everything."""
    run_select(raw=[raw], count=10**6, output=str(tmp_path / "all"), strata="kind", **settings)
    return {(row["file"], row["position"]): row for row in rows_of(tmp_path / "all")}


@pytest.mark.parametrize("method", ["importance", "top-k", "random"])
def test_each_stratum_is_filled_by_its_own_largest_keys(
    run_select: Select, raw: str, tmp_path: Path, method: str
) -> None:
    everything = keys_by_place(run_select, raw, tmp_path, target=SPEECHES, method=method)
    quotas = {"speeches": 10, "go_code": 25, "jargon": 1}
    report = run_select(raw=[raw], target=SPEECHES, method=method, strata="kind", quotas=quotas)
    found = rows_of(tmp_path / "output")
    assert Counter(row["stratum"] for row in found) == quotas
    for kind, n in quotas.items():
        mine = sorted((row for row in everything.values() if row["stratum"] == kind), key=lambda row: -row["key"])
        expected = {(row["file"], row["position"]) for row in mine[:n]}
        assert {(row["file"], row["position"]) for row in found if row["stratum"] == kind} == expected
        assert report["strata"][kind]["selected"] == report["strata"][kind]["quota"] == n
    assert sum(stratum["documents"] for stratum in report["strata"].values()) == 2730
    assert report["strata"]["go_code"]["documents"] == sum(kind == "go_code" for kind in kinds().values())


def test_shares_and_a_shortfall_that_the_others_fill(run_select: Select, raw: str, tmp_path: Path) -> None:
    shares = {"speeches": 3, "go_code": 1, "no such kind": 1}
    report = run_select(raw=[raw], target=SPEECHES, count=200, strata="kind", quotas=shares)
    n_speeches = report["strata"]["speeches"]["eligible"]
    assert n_speeches < 120
    selected = {name: stratum["selected"] for name, stratum in report["strata"].items() if stratum["selected"]}
    n_code = min(200 - n_speeches, report["strata"]["go_code"]["eligible"])
    assert selected == {"speeches": n_speeches, "go_code": n_code}
    assert report["strata"]["speeches"]["quota"] == 120
    assert any("'speeches'" in note and "fewer eligible" in note for note in report["notes"])
    assert f"the strata that have a share hold only {n_speeches + n_code:,}" in report["notes"][-1]
    by_tokens = run_select(
        raw=[raw], target=SPEECHES, tokens=10**6, strata="kind", quotas={"speeches": 3, "?": 1}, overwrite=True
    )
    n_tokens = by_tokens["strata"]["speeches"]["tokens_selected"]
    short, unfilled = by_tokens["notes"][-2:]
    assert f"'speeches' {n_tokens:,} of 750,000" in short
    assert "'?' 0 of 250,000" in short
    assert unfilled == f"asked for 1,000,000 tokens, the strata that have a share hold only {n_tokens:,}"


def test_quotas_as_in_raw_and_as_in_target(run_select: Select, raw: str, tmp_path: Path) -> None:
    report = run_select(raw=[raw], target=SPEECHES, count=300, strata="kind", quotas="raw")
    eligible = sum(stratum["eligible"] for stratum in report["strata"].values())
    for stratum in report["strata"].values():
        assert abs(stratum["selected"] - 300 * stratum["eligible"] / eligible) <= 1
    lines = [json.loads(line) for line in Path(TARGETS["speeches"]).read_text().splitlines()]
    target = tmp_path / "target.jsonl"
    target.write_text(
        "".join(
            json.dumps({**line, "kind": ["go_code", "jargon", "jargon"][i % 3]}) + "\n" for i, line in enumerate(lines)
        )
    )
    report = run_select(raw=[raw], target={"t": str(target)}, count=90, strata="kind", quotas="target", overwrite=True)
    selected = {name: stratum["selected"] for name, stratum in report["strata"].items() if stratum["selected"]}
    assert selected == {"go_code": 30, "jargon": 60}


def test_quotas_of_tokens_stay_within_the_budget(run_select: Select, raw: str) -> None:
    report = run_select(raw=[raw], target=SPEECHES, tokens=60_000, strata="kind", quotas={"go_code": 1, "speeches": 2})
    tokens = {name: stratum["tokens_selected"] for name, stratum in report["strata"].items() if stratum["selected"]}
    assert set(tokens) == {"go_code", "speeches"}
    assert 17_000 < tokens["go_code"] <= 20_000
    assert 36_000 < tokens["speeches"] <= 40_000


@pytest.mark.parametrize("shard_bytes", [100_000, 10**9])
def test_quotas_do_not_depend_on_shards(run_select: Select, raw: str, shard_bytes: int, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "raw": [raw],
        "target": TARGETS,
        "match": True,
        "count": 100,
        "strata": "kind",
        "quotas": "raw",
    }
    first = run_select(**asked)
    again = run_select(**asked, shard_bytes=shard_bytes, output=str(tmp_path / "again"), workdir=str(tmp_path / "work"))
    assert again["selection_digest"] == first["selection_digest"]


def test_matched_targets_meet_their_proportions_and_take_what_is_nearest(
    run_select: Select, raw: str, tmp_path: Path
) -> None:
    proportions = {"speeches": 0.5, "go_code": 0.3, "jargon": 0.2}
    report = run_select(raw=[raw], target=TARGETS, match=True, proportions=proportions, count=100, strata="kind")
    assert {name: target["selected"] for name, target in report["targets"].items()} == {
        "speeches": 50,
        "go_code": 30,
        "jargon": 20,
    }
    rows = rows_of(tmp_path / "output")
    for name in TARGETS:
        mine = [row["stratum"] for row in rows if row["target"] == name]
        assert Counter(mine).most_common(1)[0][0] == name


def test_a_size_is_divided_among_targets_to_the_document(run_select: Select, raw: str) -> None:
    targets = {name: TARGETS[name] for name in ("speeches", "go_code", "jargon")}
    proportions = {"speeches": 0.29, "go_code": 0.71, "jargon": 0.0}
    report = run_select(raw=[raw], target=targets, separate=True, count=100, proportions=proportions)
    assert [target["selected"] for target in report["targets"].values()] == [29, 71, 0]


def test_a_target_that_takes_nothing_has_no_part_in_the_mean_reduction(run_select: Select, raw: str) -> None:
    targets = {name: TARGETS[name] for name in ("speeches", "go_code")}
    report = run_select(
        raw=[raw], target=targets, separate=True, count=50, proportions={"speeches": 1.0, "go_code": 0.0}
    )
    assert report["targets"]["go_code"]["kl_reduction"] is None
    assert report["kl_reduction"] == report["targets"]["speeches"]["kl_reduction"]


@pytest.mark.parametrize("how", ["separate", "match"])
def test_counts_of_strata_are_met_by_several_targets_together(run_select: Select, raw: str, how: str) -> None:
    targets = {name: TARGETS[name] for name in ("speeches", "go_code")}
    asked: dict[str, Any] = {"raw": [raw], "target": targets, how: True, "strata": "kind", "overwrite": True}
    for quotas in ({"bible": 1, "jargon": 1}, {"bible": 3, "jargon": 5, "go_code": 1}, {"speeches": 7}):
        report = run_select(**asked, quotas=quotas, proportions=dict.fromkeys(targets, 1))
        taken = {name: found["selected"] for name, found in report["strata"].items() if found["selected"]}
        assert taken == quotas
        sizes = [target["selected"] for target in report["targets"].values()]
        assert sizes == [-(-sum(quotas.values()) // 2), sum(quotas.values()) // 2]


def test_quantiles_are_of_all_eligible_documents_also_when_targets_are_matched(run_select: Select, raw: str) -> None:
    asked: dict[str, Any] = {"raw": [raw], "target": TARGETS, "count": 30, "overwrite": True}
    matched, separate = run_select(**asked, match=True), run_select(**asked, separate=True)
    assert matched["weights"]["quantiles"]["speeches"] == separate["weights"]["quantiles"]["speeches"]
    raw_histogram = matched["histograms"]["speeches"]["raw"]
    assert sum(raw_histogram[1:-1]) > 0.9 * sum(raw_histogram)


def test_a_matched_target_without_near_documents_takes_of_the_rest(run_select: Select, raw: str) -> None:
    report = run_select(raw=[raw], target=TARGETS, match=True, count=2000, proportions=dict.fromkeys(TARGETS, 1))
    selected = [target["selected"] for target in report["targets"].values()]
    assert sum(selected) == report["documents"]["selected"] == min(2000, report["documents"]["eligible"])
    assert selected[0] in (666, report["targets"]["speeches"]["selected"])
    by_tokens = run_select(
        raw=[raw], target=TARGETS, match=True, tokens=40_000, proportions=dict.fromkeys(TARGETS, 1), overwrite=True
    )
    assert 38_000 < by_tokens["tokens"]["selected"] <= 40_000


def test_quotas_and_proportions_are_both_met_when_targets_are_matched(run_select: Select, raw: str) -> None:
    # Hardly any go code is nearest to speeches, nor any speech to go code: that half of each comes from the rest.
    quotas = {"go_code": 1, "speeches": 1}
    asked: dict[str, Any] = {"raw": [raw], "target": TARGETS, "match": True, "strata": "kind", "quotas": quotas}
    report = run_select(**asked, count=60, proportions=dict.fromkeys(TARGETS, 1))
    assert {name: target["selected"] for name, target in report["targets"].items()} == dict.fromkeys(TARGETS, 20)
    strata = {name: (s["selected"], s["quota"]) for name, s in report["strata"].items() if s["selected"] or s["quota"]}
    assert strata == {"go_code": (30, 30), "speeches": (30, 30)}
    as_raw = run_select(**{**asked, "quotas": "raw"}, count=300, overwrite=True)
    eligible = as_raw["documents"]["eligible"]
    for stratum in as_raw["strata"].values():
        assert abs(stratum["selected"] - 300 * stratum["eligible"] / eligible) <= len(TARGETS)


def test_a_target_that_is_to_take_nothing_is_reported(run_select: Select, raw: str) -> None:
    targets = {name: TARGETS[name] for name in ("speeches", "go_code")}
    report = run_select(raw=[raw], target=targets, separate=True, count=1, strata="kind", quotas="raw")
    assert [target["selected"] for target in report["targets"].values()] == [0, 1]
    assert set(report["histograms"]) == set(targets)


def test_quotas_of_strata_without_documents_are_an_error_that_names_those_that_are_there(
    run_select: Select, raw: str
) -> None:
    asked: dict[str, Any] = {"raw": [raw], "target": SPEECHES, "count": 10, "strata": "kind"}
    with pytest.raises(RunFailedError, match=r"\('books'\).*'kind' of raw.*'bible', 'dictionary'.* and \d more"):
        run_select(**asked, quotas={"books": 1, "bible": 0})
    with pytest.raises(RunFailedError, match=r"\(''\).*; no target record has a value in that field"):
        run_select(**asked, quotas="target")


def test_requests_that_make_no_sense_are_refused(run_select: Select, raw: str, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"raw": raw, "target": "b", "output": "c"}
    with pytest.raises(RequestError, match="strata"):
        parse_config({**plain, "count": 1, "quotas": "raw"})
    with pytest.raises(RequestError, match="whole numbers"):
        parse_config({**plain, "strata": "kind", "quotas": {"a": 0.5}})
    with pytest.raises(RequestError, match="all zero"):
        parse_config({**plain, "count": 1, "strata": "kind", "quotas": {"a": 0}})


@pytest.mark.parametrize("shard_bytes", [10**9, 100_000])
@pytest.mark.parametrize("more", [{}, {"quotas": "raw"}, {"quotas": "target"}])
def test_a_field_that_names_documents_makes_no_strata(
    run_select: Select, raw: str, tmp_path: Path, more: dict[str, Any], shard_bytes: int
) -> None:
    target = tmp_path / "target.jsonl"
    target.write_text("".join(json.dumps({"text": f"one more {i}", "id": f"{i}"}) + "\n" for i in range(1001)))
    with pytest.raises(RequestError, match="over 1,000 values"):
        run_select(raw=[raw], target=str(target), count=10, strata="id", shard_bytes=shard_bytes, **more)
