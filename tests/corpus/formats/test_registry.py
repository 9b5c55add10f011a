"""A format is one module and one entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsir_core.corpus.formats.registry import ENTRIES, Entry, known_formats
from dsir_core.corpus.types import FileRange
from tests.corpus.files import read_all, source

MODULE = """
from dsir_core.corpus.formats.jsonl import JsonLines

FORMAT = JsonLines("lines")
"""


def test_a_format_of_another_package_is_listed_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "format_of_lines.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ENTRIES, "lines", Entry("Lines", (".lines",), "format_of_lines"))
    (tmp_path / "a.lines").write_text('{"text": "x"}\n')
    assert read_all(FileRange(source(tmp_path / "a.lines"))) == ([(0, "x")], [])
    assert "Lines (.lines)" in known_formats()
