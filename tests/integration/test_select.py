"""What a user is promised of `dsir select`, on the demo corpus, without Prefect and Dask."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.manifest import Manifest
from dsir_core.checkpoints.store import Store
from dsir_core.config.request import parse_config
from dsir_core.errors import RequestError, RunFailedError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run, StageFailedError
from tests.integration.conftest import DEMO, Select, demo_records

TARGET = {"speeches": str(DEMO / "targets" / "speeches.jsonl")}


def lines_of(output: str | Path) -> list[str]:
    return [line for part in sorted(Path(output).glob("part-*.jsonl")) for line in part.read_text().splitlines()]


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


@pytest.mark.parametrize("shard_bytes", [20_000, 300_000, 10**9])
def test_the_selection_does_not_depend_on_shards(
    run_select: Select, pool: Path, tmp_path: Path, shard_bytes: int
) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=70, shard_bytes=shard_bytes)
    assert report["selection_digest"] == DIGEST
    assert len(lines_of(tmp_path / "output")) == 70


DIGEST = "45673678bafffb570530db32ed220dfded94b802546bae8c1b49bada428d9f99"


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


def test_bad_records_within_the_budget_are_listed_and_the_run_goes_on(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    lines = pool.read_bytes().splitlines(keepends=True)
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(b"".join([*lines[:100], b'{"text": 1}\n', b"not json\n", b"\n", *lines[100:]]))
    report = run_select(raw=[str(raw)], target=TARGET, count=70)
    assert report["documents"]["raw"] == 2732
    assert report["documents"]["bad"] == 2
    (quarantine,) = (tmp_path / "workdir" / "quarantine").glob("*.jsonl")
    listed = [json.loads(line) for line in quarantine.read_text().splitlines()]
    start = sum(map(len, lines[:100]))
    assert [(bad["path"], bad["position"]) for bad in listed] == [
        ("raw.jsonl", start),
        ("raw.jsonl", start + 12),
    ]


def test_bad_records_over_the_budget_fail_the_run_by_name(run_select: Select, pool: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(pool.read_bytes() + b"oops\n" * 5)
    with pytest.raises(RunFailedError, match=r"5 of 2,735 records are bad.*raw\.jsonl at \d+"):
        run_select(raw=[str(raw)], target=TARGET, count=70)
    assert not (tmp_path / "output").exists()
    assert run_select(raw=[str(raw)], target=TARGET, count=70, max_bad_fraction=0.01)["documents"]["bad"] == 5


def test_a_truncated_file_never_passes_for_a_short_one(run_select: Select, pool: Path, tmp_path: Path) -> None:
    whole = (DEMO / "raw" / "pool-2.jsonl.gz").read_bytes()
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (raw / "b.jsonl").write_bytes(pool.read_bytes())
    settings = {"raw": [str(raw)], "target": TARGET, "count": 70, "shard_bytes": 10**6}
    with pytest.raises(RunFailedError, match=r"a\.jsonl\.gz.*--max-bad-shards 1"):
        run_select(**settings)
    report = run_select(**settings, max_bad_shards=1)
    assert report["documents"]["raw"] == 2730
    assert list(report["damaged"]) == ["a.jsonl.gz"]


def test_a_damaged_target_is_named_and_is_no_empty_one(run_select: Select, pool: Path, tmp_path: Path) -> None:
    good = Path(TARGET["speeches"])
    damaged = tmp_path / "t.jsonl.gz"
    damaged.write_bytes(gzip.compress(good.read_bytes())[:-5])
    with pytest.raises(RunFailedError, match=r"t\.jsonl\.gz.*--max-bad-shards"):
        run_select(raw=[str(pool)], target={"t": str(damaged)}, count=70)
    both = {"raw": [str(pool)], "target": {"t": [str(damaged), str(good)]}, "count": 70, "shard_bytes": 10**5}
    report = run_select(**both, max_bad_shards=1)
    assert any("t.jsonl.gz" in path for path in report["damaged"])
    assert any("left out" in note for note in report["notes"])


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
    kind = {"none": "log weights", "tokens": "log weights for their length", "sqrt": "log weights for their length"}
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


def test_a_budget_that_no_document_fits_into_is_said(run_select: Select, pool: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, tokens=1)
    assert report["documents"]["selected"] == 0
    assert any("no document is selected" in note for note in report["notes"])


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no document|holds no document"),
        ('{"text": "  "}\n', "no n-gram"),
        ('{"body": "x"}\n', "text"),
    ],
)
def test_a_useless_target_is_refused(run_select: Select, pool: Path, tmp_path: Path, content: str, words: str) -> None:
    target = tmp_path / "target.jsonl"
    target.write_text(content)
    with pytest.raises((RequestError, RunFailedError), match=words):
        run_select(raw=[str(pool)], target={"tiny": str(target)}, count=70)


def test_nothing_eligible_is_said(run_select: Select, pool: Path) -> None:
    with pytest.raises(RunFailedError, match="--min-tokens"):
        run_select(raw=[str(pool)], target=TARGET, count=70, min_tokens=10**6)


def test_a_page_of_hostile_documents_is_only_text(run_select: Select, pool: Path, tmp_path: Path) -> None:
    hostile = {"text": "<script>alert(1)</script> my fellow americans " * 200, "id": "x"}
    raw = tmp_path / "raw.jsonl"
    raw.write_text(pool.read_text() + json.dumps(hostile) + "\n")
    run_select(raw=[str(raw)], target={"<b>t</b>": TARGET["speeches"]}, fraction=1.0)
    page = (tmp_path / "output" / "report.html").read_text()
    assert "<script>" not in page
    assert "<b>t" not in page


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
