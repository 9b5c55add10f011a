"""What a user is promised of `dsir select`, on the demo corpus, without Prefect and Dask."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import DEMO, TARGET, Select, demo_records, lines_of

DIGEST = "45673678bafffb570530db32ed220dfded94b802546bae8c1b49bada428d9f99"


def test_selection_is_mostly_the_targets_kind_and_says_so(run_select: Select, pool: Path, tmp_path: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=100)
    labels = json.loads((DEMO / "labels.json").read_text())
    chosen = [json.loads(line)["id"] for line in lines_of(tmp_path / "output")]
    assert Counter(labels["domain_of"][name] for name in chosen)["speeches"] >= 55
    assert report["targets"]["speeches"]["kl_reduction"] > 0
    page = (tmp_path / "output" / "report.html").read_text()
    assert f"{report['kl_reduction']:.3f} nats" in page
    assert f"{report['weights']['effective_sample_size']:.1f}" in page


def test_every_record_is_accounted_for(run_select: Select, pool: Path) -> None:
    documents = run_select(raw=[str(pool)], target=TARGET, count=70, min_tokens=150)["documents"]
    assert documents["raw"] == 2730 == sum(documents[key] for key in ("selected", "rejected", "ineligible", "bad"))
    assert documents["selected"] == 70
    assert documents["ineligible"] > 0


def test_lines_are_byte_for_byte_those_of_the_source_and_the_list_says_where_they_stand(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=70)
    source = pool.read_bytes()
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    found = [source[row["position"] : source.index(b"\n", row["position"])].decode() for row in rows]
    assert found == lines_of(tmp_path / "output")
    pairs = b"".join(f"{row['file']}\0{row['position']}\n".encode() for row in rows)
    assert report["selection_digest"] == hashlib.sha256(pairs).hexdigest()
    assert {row["target"] for row in rows} == {"speeches"}
    assert min(row["key"] for row in rows) > float("-inf")


@pytest.mark.parametrize("shard_bytes", [80_000, 300_000, 10**9])
def test_the_selection_does_not_depend_on_shards(
    run_select: Select, pool: Path, tmp_path: Path, shard_bytes: int
) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=70, shard_bytes=shard_bytes)
    assert report["selection_digest"] == DIGEST
    assert len(lines_of(tmp_path / "output")) == 70


def test_formats_and_compressions_give_the_same_documents(run_select: Select, tmp_path: Path) -> None:
    report = run_select(raw=[str(DEMO / "raw")], target=TARGET, count=70, method="top-k")
    kinds = {part.suffix for part in (tmp_path / "output").glob("part-*")}
    assert report["documents"]["raw"] == len(demo_records())
    assert kinds == {".zst", ".parquet"}
    tables = [pq.read_table(part) for part in (tmp_path / "output").glob("part-*.parquet")]
    originals = {row["id"]: row for row in pq.read_table(DEMO / "raw" / "pool-4.parquet").to_pylist()}
    assert all(originals[row["id"]] == row for table in tables for row in table.to_pylist())


@pytest.mark.parametrize(
    ("size", "selected"),
    [({"count": 10**6}, None), ({"fraction": 0.1}, "tenth"), ({"tokens": 20_000}, "tokens")],
)
def test_sizes(run_select: Select, pool: Path, size: dict[str, Any], selected: str | None) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, **size)
    eligible = report["documents"]["eligible"]
    if selected is None:
        assert report["documents"]["selected"] == eligible
        assert any("only" in note for note in report["notes"])
    elif selected == "tenth":
        assert report["documents"]["selected"] == round(eligible / 10)
    else:
        assert 15_000 < report["tokens"]["selected"] <= 20_000


def test_random_selection_does_not_reduce_kl_as_importance_does(run_select: Select, pool: Path, tmp_path: Path) -> None:
    common = {"raw": [str(pool)], "target": TARGET, "count": 200, "workdir": str(tmp_path / "work")}
    importance = run_select(**common, output=str(tmp_path / "a"))
    chance = run_select(**common, output=str(tmp_path / "b"), method="random")
    assert importance["kl_reduction"] > chance["kl_reduction"] + 0.15
    assert chance["weights"]["top_k_overlap"] < 0.3 < importance["weights"]["top_k_overlap"]
    assert chance["stages"]["score"]["reused"] == chance["stages"]["score"]["shards"]


def test_dials_that_random_does_not_look_at_are_named(run_select: Select, pool: Path) -> None:
    common = {"raw": [str(pool)], "target": TARGET, "count": 20, "method": "random", "overwrite": True}
    plain = run_select(**common)
    turned = run_select(**common, temperature=2.0, length_normalise="sqrt")
    assert turned["selection_digest"] == plain["selection_digest"]
    assert any("no use of temperature and length_normalise:" in note for note in turned["notes"])
    assert not any("no use of" in note for note in plain["notes"])


def test_separate_targets_each_get_their_share(run_select: Select, pool: Path, tmp_path: Path) -> None:
    targets = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code")}
    report = run_select(
        raw=[str(pool)], target=targets, count=100, separate=True, proportions={"speeches": 1, "go_code": 3}
    )
    assert {name: target["selected"] for name, target in report["targets"].items()} == {
        "speeches": 25,
        "go_code": 75,
    }
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    assert Counter(row["target"] for row in rows) == {"speeches": 25, "go_code": 75}
    assert len({(row["file"], row["position"]) for row in rows}) == 100


def test_a_fit_on_a_sample_is_spread_over_the_corpus_and_does_not_depend_on_shards(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    reports = [
        run_select(raw=[str(pool)], target=TARGET, count=70, fit_ngrams=400_000, shard_bytes=size,
                   output=str(tmp_path / str(size)), workdir=str(tmp_path / f"{size}.work"))
        for size in (100_000, 10**8)
    ]  # fmt: skip
    assert 0 < reports[0]["fit"]["rate"] < 1
    assert reports[0]["fit"]["ngrams"] >= 0.9 * 400_000
    assert reports[0]["model_digest"] == reports[1]["model_digest"]
    assert reports[0]["selection_digest"] == reports[1]["selection_digest"]


@pytest.mark.parametrize("more", [{}, {"length_normalise": "tokens"}, {"length_normalise": "sqrt"}])
def test_a_wanted_effective_sample_size_is_had_whatever_the_shards(
    run_select: Select, pool: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    digests = set()
    for size in (10**9, 300_000):
        settings = {"count": 70, "target_ess": 0.2, "shard_bytes": size, "overwrite": True, **more}
        report = run_select(raw=[str(pool)], target=TARGET, **settings)
        weights = report["weights"]
        assert weights["effective_sample_size"] == pytest.approx(0.2 * report["documents"]["eligible"], rel=0.01)
        digests.add((report["selection_digest"], weights["temperatures"]["speeches"]))
        assert not any("target_ess" in note for note in report["notes"])
    assert len(digests) == 1
    kind = {"none": "log weights", "tokens": "length-normalised log weights", "sqrt": "length-normalised log weights"}
    shown = kind[report["fit"]["length_normalise"]["speeches"]]
    assert f"Quantiles of the {shown}</summary>" in (tmp_path / "output" / "report.html").read_text()


def test_an_effective_sample_size_that_cannot_be_had_is_told(run_select: Select, pool: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=70, target_ess=1e-5)
    assert any("target_ess: no temperature gives" in note for note in report["notes"])


def test_temperature_spreads_the_selection_and_reuses_the_weights(run_select: Select, pool: Path) -> None:
    overlaps = []
    for temperature in (1.0, 300.0, 1e9):
        report = run_select(raw=[str(pool)], target=TARGET, count=270, temperature=temperature, overwrite=True)
        overlaps.append(report["weights"]["top_k_overlap"])
    assert report["stages"]["score"]["reused"] == report["stages"]["score"]["shards"]
    assert overlaps[0] > 0.9 > overlaps[1] > overlaps[2]
    assert report["weights"]["effective_sample_size"] == pytest.approx(report["documents"]["eligible"], rel=1e-6)


def test_conditions_select_from_the_records_that_meet_them(run_select: Select, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    labels = json.loads((DEMO / "labels.json").read_text())["domain_of"]
    records = [{**record, "kind": labels[record["id"]]} for record in demo_records()]
    raw.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = run_select(raw=[str(raw)], target=TARGET, count=50, exclude='kind == "speeches" or "man" in kind')
    chosen = [json.loads(line)["kind"] for line in lines_of(tmp_path / "output")]
    assert len(chosen) == 50
    assert not [kind for kind in chosen if kind == "speeches" or "man" in kind]
    documents = report["documents"]
    assert documents["excluded"] == sum(r["kind"] == "speeches" or "man" in r["kind"] for r in records)
    assert (
        documents["raw"]
        == 2730
        == sum(documents[key] for key in ("selected", "rejected", "ineligible", "excluded", "bad"))
    )


def test_small_targets_and_text_without_spaces_are_warned_of_and_auto_says_what_it_took(
    run_select: Select, pool: Path
) -> None:
    poetry = {"poetry": str(DEMO / "targets" / "tang_poetry.jsonl")}
    plain = run_select(raw=[str(pool)], target=poetry, count=20, min_tokens=10, preset="reference")
    assert any("--tokenizer unicode" in note for note in plain["notes"])
    assert any("--smoothing auto" in note for note in plain["notes"])
    assert plain["fit"]["smoothing"] == {"poetry": "0"}
    better = run_select(
        raw=[str(pool)], target=poetry, count=20, min_tokens=10, tokenizer="unicode", smoothing="auto", overwrite=True
    )
    assert not better["notes"]
    found = better["recovery"]["poetry"]
    by_smoothing = {one["smoothing"]: one["recovered"] for one in found["tried"]}
    taken = by_smoothing[found["smoothing"]]
    assert taken > plain["recovery"]["poetry"]["recovered"]
    assert max(by_smoothing.values()) - taken < 2 / found["documents"] ** 0.5
    given = run_select(
        raw=[str(pool)],
        target=poetry,
        count=20,
        min_tokens=10,
        tokenizer="unicode",
        smoothing=found["smoothing"] if "=" in found["smoothing"] else float(found["smoothing"]),
        overwrite=True,
    )
    assert given["selection_digest"] == better["selection_digest"]
