"""The Python in the documentation runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dsir_core import ImportanceModel, sample
from dsir_core.corpus.compression import CODECS
from dsir_core.corpus.formats.registry import ENTRIES
from flows.cli import main

ROOT = Path(__file__).parents[1]
TUTORIAL = re.findall(
    r"```python\n(.*?)```\n+```text\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL
)
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "docs/tutorial.md", "docs/python.md")}
CODE = {name: re.findall(r"```python\n(.*?)```", page, re.DOTALL) for name, page in PAGES.items()}
BLOCKS = [block for name in ("README.md", "docs/python.md") for block in CODE[name]]
COMMANDS = re.findall(r"```console\n\$ dsir (.*?)\n(.*?)```", (ROOT / "docs" / "sampling.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_run(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", CODE)
def test_pages_import_nothing_deeper_than_the_package(page: str) -> None:
    assert CODE[page]
    for block in CODE[page]:
        nodes = list(ast.walk(ast.parse(block)))
        modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert [name for name in modules if name.startswith("dsir_core.")] == []
    assert re.findall(r"\b(?:from|import) dsir_core\.\w+", PAGES[page]) == []


def test_the_tutorial_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    assert len(TUTORIAL) >= 5
    for block, expected in TUTORIAL:
        exec(block, session)
        assert capsys.readouterr().out == expected
    for name, shown in (
        ("model", "10,000 buckets"),
        ("explanation", "The text"),
        ("selection", "70 of 2,730 documents"),
    ):
        piece = session[name]._repr_html_()
        assert shown in piece
        assert not re.search(r"<(script|img|link|html)", piece)


@pytest.mark.parametrize(("words", "expected"), COMMANDS)
def test_a_command_prints_what_its_page_says(
    words: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(words.split()) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == expected.splitlines()


def test_texts_like_the_target_weigh_more_and_are_sampled_more() -> None:
    target, raw = ["the cat sat on the mat"] * 5, ["the cat sat", "import numpy as np"] * 50
    weights = ImportanceModel.fit(target, raw).score(raw)
    assert (weights[::2] > weights[1::2]).all()
    assert set(sample(weights, 50) % 2) == {0}
    assert len(sample(weights, 1000)) == 100


def test_sample_refuses_what_is_no_weight() -> None:
    with pytest.raises(ValueError, match="finite"):
        sample([0.0, float("nan")], 1)


def test_the_page_on_selecting_names_every_format_and_codec() -> None:
    page = (ROOT / "docs" / "selecting.md").read_text()
    suffixes = [suffix for entry in ENTRIES.values() for suffix in entry.suffixes]
    suffixes += [codec.suffixes[0] for codec in CODECS.values() if codec.suffixes[0]]
    assert [suffix for suffix in suffixes if f"`{suffix}`" not in page] == []
