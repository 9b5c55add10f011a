"""What is wrong with paths, fields and the output is found before anything slow begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import parse_config
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.runtime.events import Note
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.output_dir import check_output
from dsir_core.stages.plan import plan
from dsir_core.stages.preflight import preflight
from dsir_core.stages.run import Run


def write(path: Path, *records: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Any]:
    raw = write(tmp_path / "raw" / "a.jsonl", {"text": "a"})
    target = write(tmp_path / "target.jsonl", {"text": "b"})
    return {"raw": str(raw.parent), "target": str(target), "count": 1, "output": str(tmp_path / "out")}


def run(corpus: dict[str, Any], **settings: Any) -> Run:
    return Run(parse_config({**corpus, **settings}), InlineExecutor())


def test_a_good_request_passes_and_nothing_is_written(corpus: dict[str, Any], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert len(preflight(run(corpus), check_output).raw.shards) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_listed_is_not_listed_again_and_its_notes_are_given(corpus: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "raw" / "notes.docx").touch()
    planned = preflight(run(corpus), check_output)
    (tmp_path / "raw" / "b.jsonl").touch()
    said: list[Any] = []
    again = plan(Run(parse_config(corpus), InlineExecutor(), said.append, planned=planned))
    assert [file.path for file in again.raw.corpus.files] == ["a.jsonl"]
    assert any("notes.docx" in event.text for event in said if isinstance(event, Note))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"raw": "/none/*.jsonl"}, "raw: /none/\\*.jsonl: matches no file"),
        ({"target": "/none.jsonl"}, "target: /none.jsonl: no such file"),
        ({"text_field": "body"}, r"a.jsonl: .* no text in a field 'body'; is it 'text'\? Set --text-field"),
        ({"text_field": ["text", "title"]}, "'title'"),
    ],
)
def test_a_wrong_path_or_field_is_refused(change: dict[str, Any], said: str, corpus: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=said):
        preflight(run(corpus, **change), check_output)


def test_a_complete_selection_at_the_output_is_refused(corpus: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text('{"documents": {"selected": 1}, "parts": []}')
    with pytest.raises(RequestError, match="holds a complete selection"):
        preflight(run(corpus), check_output)
    preflight(run(corpus, overwrite=True), check_output)


def test_a_file_that_is_not_what_its_name_says_is_refused_unless_it_may_be_left_out(
    corpus: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / "raw" / "b.parquet", {"text": "a"})
    with pytest.raises(DamagedFileError, match=r"b\.parquet: is named as Parquet"):
        preflight(run(corpus), check_output)
    preflight(run(corpus, max_bad_shards=1), check_output)


def test_a_field_need_not_be_in_the_first_file_nor_in_the_first_record(corpus: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "raw" / "0.jsonl", {"id": 1})
    write(tmp_path / "raw" / "a.jsonl", {"id": 2}, {"text": None}, {"text": "a"})
    preflight(run(corpus), check_output)


def test_records_that_may_be_left_out_say_nothing_of_fields(corpus: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.jsonl", {"kind": "meta"})
    with pytest.raises(RequestError, match=r"raw: .*'text'"):
        preflight(run(corpus), check_output)
    preflight(run(corpus, exclude='kind == "meta"'), check_output)
