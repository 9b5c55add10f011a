"""`dsir explain`: a document's weight as the sum of its n-grams' contributions, in a table and as coloured text."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsir_core
from dsir_core import raw_documents
from dsir_core.config.features import FeatureSettings
from dsir_core.errors import RequestError
from dsir_core.explained import Standing
from dsir_core.features import reference as oracle
from dsir_core.features import score_ngrams
from dsir_core.features.texts import text_buffers
from dsir_core.finished import FinishedSelection
from dsir_core.model.importance import FittedModel
from dsir_core.report.explained import render_explanation
from dsir_core.report.formatting import decimal
from dsir_core.shards.explaining import explain
from dsir_core.shards.selection_list import ChosenDocument
from flows.cli import main
from tests.browser import ask
from tests.report.conftest import Figures, Select
from tests.report.conftest import figures as figures  # the fixtures
from tests.report.conftest import pool as pool
from tests.report.conftest import run_select as run_select

FEATURES = [
    FeatureSettings(buckets=64),
    FeatureSettings(buckets=64, ngrams=3, hash="sha256"),
    FeatureSettings(buckets=64, ngrams=1, tokenizer="unicode"),
]
LOG_RATIO = np.random.default_rng(0).normal(size=(2, 64))
MODEL = FittedModel(("a", "b"), (0.5, 0.5), LOG_RATIO)
TEXTS = st.text(alphabet=st.sampled_from("ab B.!_ \n\tΣσİ\u0130x日本é\U0001f600"), max_size=40)


@pytest.mark.parametrize("features", FEATURES, ids=str)
@given(text=TEXTS)
def test_contributions_sum_to_the_log_weight(features: FeatureSettings, text: str) -> None:
    data, offsets = text_buffers([text])
    expected, _ = score_ngrams(data, offsets, features, LOG_RATIO)
    for row, found in enumerate(explain(text, MODEL, features)):
        assert found.log_weight == expected[0, row]
        totals = [one.total for one in found.contributions]
        assert totals == sorted(totals, reverse=True)
        assert sum(totals) == pytest.approx(expected[0, row], abs=1e-9)
        assert found.by_token.sum() == pytest.approx(expected[0, row], abs=1e-9)


@pytest.mark.parametrize("features", FEATURES, ids=str)
@given(text=TEXTS)
def test_spans_are_where_the_tokens_stand(features: FeatureSettings, text: str) -> None:
    spans = explain(text, MODEL, features)[0].spans
    tokens = oracle.tokenize(text, features.tokenizer)
    assert len(spans) == len(tokens)
    assert list(spans) == sorted(spans)
    for (start, stop), token in zip(spans, tokens, strict=True):
        assert token in oracle.lower(text[start:stop]).replace("ς", "σ") or "ς" in token


def test_the_page_says_each_figure_once_and_with_a_minus_sign() -> None:
    explanation = explain("ab", FittedModel(("a",), (1.0,), -np.abs(LOG_RATIO[:1])), FEATURES[2])[0]
    alone = render_explanation("t", explanation, 5)
    assert "Log weight for a: <strong>\N{MINUS SIGN}" in alone
    fact = Standing(explanation.log_weight, None, None, 10, too_short=False).sentence("a")
    known = render_explanation("t", explanation, 5, [fact])
    assert fact.startswith("log weight for a: \N{MINUS SIGN}")
    assert known.count("Log weight for a") == 1


HOSTILE = (
    "\n\nthe  cat</pre><script>window.hacked = 1</script>\n\n"
    " <img src=x onerror='window.hacked = 1'> & {{ 7 * 7 }} \u0130X\n"
)
PAGES = {"hostile": HOSTILE, "empty": "", "blank": " \n ", "two": "\u0130" * 3, "long": "sat. " * 30_000}


@pytest.mark.browser
@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_the_page_shows_the_text_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.html").write_text(render_explanation("a <b>", explain(text, MODEL, FEATURES[0])[0], 5))
    found = ask(
        tmp_path / "e.html",
        "return {ran: 'hacked' in window, text: document.querySelector('.explained').textContent,"
        "title: document.querySelector('h1').textContent, wide: document.scrollingElement.scrollWidth,"
        "elements: document.querySelectorAll('script, img').length};",
        width=360,
    )
    assert found["text"] == (text if len(text) < 10**5 else text[: 5 * 10_000 - 1])
    assert (found["ran"], found["elements"], found["title"]) == (False, 0, "a <b>")
    assert found["wide"] <= 360


@pytest.fixture(scope="module")
def output(run_select: Select, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished selection."""
    folder = tmp_path_factory.mktemp("explained")
    run_select("explained", count=50, output=str(folder / "output"), workdir=str(folder / "workdir"))
    return folder / "output"


Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dsir(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs the command: status, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


def test_a_long_search_says_how_far_it_is_and_a_quick_one_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, said = FinishedSelection(str(output)), list[str]()
    finished.explain_where("id == 'd00240'", say=said.append)
    assert not said
    monkeypatch.setattr(raw_documents, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(raw_documents, "SAY_SECONDS", 0.0)
    with pytest.raises(RequestError, match="no document"):
        finished.explain_where("id == 'none'", say=said.append)
    assert re.fullmatch(r"[0-9,]+ records searched, now pool-0\.jsonl, file 1 of (\d)", said[0])
    assert re.fullmatch(r"2,73\d records searched, now .*, file (\d) of \1", said[-1])


def test_a_document_of_the_selection_is_found_by_file_and_position(output: Path, dsir: Shell, tmp_path: Path) -> None:
    row = pq.read_table(output / "selected.parquet").to_pylist()[7]
    words = ("--file", row["file"], "--position", row["position"], "--top", 4, "--html", tmp_path / "e.html")
    status, shown, _ = dsir("explain", output, *words)
    assert status == 0
    assert f"log weight for speeches: {decimal(row['log_weight'])}, " in shown
    assert "above the threshold of about" in shown
    assert f"{row['n_tokens']:,} tokens" in shown
    assert "selected for speeches, number " in shown
    assert 4 + 4 + 8 <= len(shown.splitlines()) <= 4 + 4 + 9
    assert "explained" in (tmp_path / "e.html").read_text()


def test_a_text_on_standard_input(output: Path, dsir: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"The government of the United States \x1b[31m\x07"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    status, shown, _ = dsir("explain", output)
    assert status == 0
    assert "united states" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_document_is_named_as_it_is_shown(output: Path, dsir: Shell) -> None:
    rows = pq.read_table(output / "selected.parquet").to_pylist()
    row = max(rows, key=lambda row: row["position"])
    root = FinishedSelection(str(output)).report["corpus"]["raw"]["root"]
    plain = dsir("explain", output, "--file", row["file"], "--position", row["position"])
    assert plain[0] == 0
    assert row["position"] >= 1000
    assert dsir("explain", output, "--file", f"{root}/{row['file']}", "--position", f"{row['position']:,}") == plain


def test_ranks_say_where_a_document_stands(output: Path) -> None:
    finished = FinishedSelection(str(output))
    eligible = finished.report["documents"]["eligible"]
    rows = sorted(pq.read_table(output / "selected.parquet").to_pylist(), key=lambda row: -row["key"])
    for number, row in enumerate(rows, 1):
        document = finished.explain_document(row["file"], row["position"])
        assert document.chosen == ChosenDocument(1, "speeches", number, len(rows))
        ranks = document.standings["speeches"].ranks
        assert ranks is not None
        assert ranks[0] <= ranks[1] <= len(rows) + 20
    for kind in ("missed", "rejected"):
        example = next(one for one in finished.report["examples"] if one["kind"] == kind)
        document = finished.explain_document(example["file"], example["position"])
        found = document.standings["speeches"]
        assert document.chosen == ChosenDocument(0)
        assert found.ranks is not None
        assert found.ranks[1] > len(rows)
        assert found.ranks[1] <= eligible
        assert found.threshold is not None
        assert found.log_weight < found.threshold


def test_a_short_text_is_said_not_to_be_eligible(output: Path) -> None:
    facts = list(dsir_core.explain(output, text="the people of the United States").facts())
    assert facts[0] == "not eligible: it has too few tokens"


def test_a_document_is_found_by_a_condition_on_its_record(output: Path, dsir: Shell) -> None:
    document = dsir_core.explain(output, where='id == "d00240"')
    file, _, position = document.title.partition(" at ")
    assert document.best.text == dsir_core.explain(output, file, int(position)).best.text
    assert document.best.text.startswith("hexameter")
    assert dsir("explain", output, "--where", 'id == "d00240"', "--file", file)[1].startswith(f"{document.title}: ")
    for words, said in (
        (("--where", 'id = "d00240"'), "--where: not a condition"),
        (("--where", 'id == "none"'), 'meets id == "none"'),
        (("--where", 'id == "d00240"', "--file", "pool-2.jsonl"), "no document of pool-2.jsonl"),
        (("--where", 'id == "d00240"', "--position", 3), "give one of them"),
    ):
        status, _, error = dsir("explain", output, *words)
        assert (status, error.count("\n")) == (2, 1), words
        assert said in error


def test_a_condition_finds_no_records_that_a_run_has_written_below_raw(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    lines = (pool / "pool-1.jsonl").read_bytes().splitlines(keepends=True)[:200]
    (tmp_path / "raw" / "z.jsonl").write_bytes(b"".join(lines))
    places = {"output": str(tmp_path / "raw" / "output"), "workdir": str(tmp_path / "raw" / "workdir")}
    run_select("below raw", raw=(str(tmp_path / "raw"),), count=5, **places)
    document = dsir_core.explain(places["output"], where="id != 'none'")
    assert document.title == "z.jsonl at 0"


def test_a_condition_is_looked_for_in_all_files_though_a_table_lacks_its_column(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    lines = (pool / "pool-1.jsonl").read_bytes().splitlines(keepends=True)[:100]
    (tmp_path / "b.jsonl").write_bytes(b"".join(lines))
    texts = [json.loads(line)["text"] for line in lines]
    pq.write_table(pa.table({"text": [f"{text} again" for text in texts]}), tmp_path / "a.parquet")
    output = str(tmp_path / "output")
    raw = (str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl"))
    run_select("other columns", raw=raw, count=5, output=output, workdir=str(tmp_path / "workdir"))
    name = json.loads(lines[3])["id"]
    position = sum(map(len, lines[:3]))
    assert dsir_core.explain(output, where=f"id == {name!r}").title == f"b.jsonl at {position}"
    with pytest.raises(RequestError, match=r"meets id == 'none'; 1 file could not be searched: .*no column 'id'"):
        dsir_core.explain(output, where="id == 'none'")


def test_a_json_record_on_standard_input_is_explained_by_its_text(
    output: Path, dsir: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "The government of the United States"

    def explained(data: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
        return dsir("explain", output)

    plain = explained(text)[1].splitlines()
    record = explained(json.dumps({"id": 1, "text": text}) + "\n")[1].splitlines()
    assert record[1:] == plain[1:]
    assert record[0] == "text of the JSON record on standard input: 6 tokens"
    assert explained("\ufeff" + json.dumps({"text": text}))[1].splitlines() == record  # as a file may begin
    assert explained('{"not": JSON}')[1].startswith("text on standard input")
    for data, said in (
        ('{"id": 1, "body": "x"}', "text is missing; its fields are id, body"),
        ('{"text": null}', "text is null"),
        ("", "standard input is empty"),
        ("\ufeff \n", "standard input is empty"),
        ('{"text": "a"}\n{"text": "b"}\n', "several JSON records"),
    ):
        status, _, error = explained(data)
        assert (status, error.count("\n")) == (2, 1), data
        assert said in error


def test_what_is_wrong_is_said_in_one_line_with_the_way_out(output: Path, dsir: Shell, tmp_path: Path) -> None:
    row: dict[str, Any] = pq.read_table(output / "selected.parquet").to_pylist()[0]
    place = ("--file", row["file"], "--position", row["position"])
    cases = [
        ((tmp_path / "none",), "no report.json"),
        ((output, "--file", row["file"]), "belong together"),
        ((output, "--file", row["file"], "--position", row["position"] + 1), "no document stands at position"),
        ((output, "--file", "none.jsonl", "--position", 0), "none.jsonl: no such file"),
        ((output, *place, "--target", "other"), "the targets that select are speeches"),
        ((output, *place, "--workdir", tmp_path), "--workdir"),
    ]
    for words, said in cases:
        status, _, error = dsir("explain", *words)
        assert (status, error.count("\n")) == (2, 1), words
        assert said in error


def test_a_model_that_is_damaged_or_of_another_tokenizer_is_refused(
    run_select: Select, dsir: Shell, tmp_path: Path
) -> None:
    output, workdir = tmp_path / "o", tmp_path / "w"
    run_select("damaged", count=5, output=str(output), workdir=str(workdir))
    row: dict[str, Any] = pq.read_table(output / "selected.parquet").to_pylist()[0]
    words = ("explain", output, "--file", row["file"], "--position", row["position"])
    (model,) = (workdir / "model").glob("*.npz")
    whole = model.read_bytes()
    flipped = bytearray(whole)
    flipped[-2000] ^= 1
    for damaged in (whole[:100], bytes(flipped)):
        model.write_bytes(damaged)
        status, _, error = dsir(*words)
        assert status == 2
        assert "damaged" in error
    model.write_bytes(whole)
    assert dsir(*words)[0] == 0
    report = json.loads((output / "report.json").read_text())
    report["versions"]["tokenizer"] = "older"
    (output / "report.json").write_text(json.dumps(report))
    status, _, error = dsir(*words)
    assert "tokenizer older" in error


def test_reports_of_a_workdir_are_made_anew(run_select: Select, dsir: Shell, tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("a", "b")}
    for name, place in places.items():
        run_select(name, count=5, output=place, workdir=str(tmp_path / "w"))
        (Path(place) / "report.html").unlink()
    status, shown, _ = dsir("report", tmp_path / "w")
    assert status == 0
    assert shown.splitlines() == [f"{place}/report.html" for place in places.values()]
    assert all((Path(place) / "report.html").exists() for place in places.values())
    assert dsir("report", places["a"])[1] == f"{places['a']}/report.html\n"


def test_the_report_says_where_its_model_lies(figures: Figures) -> None:
    assert (Path(figures["workdir"]) / "model" / f"{figures['model_digest']}.npz").exists()
