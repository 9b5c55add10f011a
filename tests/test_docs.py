"""The code and the commands in the documentation run."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import dsir_core
from dsir_core import ImportanceModel, sample
from dsir_core.corpus.compression import CODECS
from dsir_core.corpus.formats.registry import ENTRIES
from flows.cli import main, parse_words
from flows.options import config_of

ROOT = Path(__file__).parents[1]
TUTORIAL = re.findall(
    r"```python\n(.*?)```\n+```text\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL
)
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}
FOUND = {name: re.findall(r"```python\n(.*?)```", page, re.DOTALL) for name, page in PAGES.items()}
CODE = {name: blocks for name, blocks in FOUND.items() if blocks}
ELSEWHERE = {"docs/deploying.md", "docs/features.md", "docs/tutorial.md", "docs/watching.md"}
"""Pages whose code needs a server, or a session of its own: other tests run it."""

BLOCKS = [
    pytest.param(name, block, marks=[pytest.mark.long] if "data_selection" in block else [])
    for name in sorted(CODE.keys() - ELSEWHERE)
    for block in CODE[name]
]
COMMANDS = [
    command
    for page in PAGES.values()
    for command in re.findall(r"```console\n\$ dsir (.*?)\n(.*?)```", page, re.DOTALL)
]
REQUESTS = [
    (name, shlex.split(words.partition(" < ")[0], comments=True))
    for name, page in PAGES.items()
    for block in re.findall(r"```(?:sh[^\n]*)?\n(.*?)```", page, re.DOTALL)
    for words in re.findall(r"^(?:\S*/)?dsir (\w.*)$", block.replace("\\\n", " "), re.MULTILINE)
    if "..." not in words
]
"""Commands of all pages, as words."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pages are followed: the demo corpus, a raw and a target file, a finished selection, settings."""
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    (tmp_path / "raw.jsonl").symlink_to(ROOT / "demo" / "raw" / "pool-1.jsonl")
    (tmp_path / "target.jsonl").symlink_to(ROOT / "demo" / "targets" / "speeches.jsonl")
    for name in ("settings.yaml", "nightly.yaml"):
        (tmp_path / name).write_text("{raw: raw.jsonl, target: target.jsonl, count: 5, output: selected}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_examples_run(page: str, block: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    if '"out/' in block:
        dsir_core.select(raw="raw.jsonl", target="target.jsonl", count=5, output="out")
    exec(block, {})
    assert capsys.readouterr().out or "print(" not in block


@pytest.mark.parametrize(("page", "words"), REQUESTS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_command_of_a_page_is_one(page: str, words: list[str], folder: Path) -> None:
    arguments = parse_words(words)
    if hasattr(arguments, "count"):
        if arguments.command == "resample" and not arguments.config.endswith(".yaml"):
            arguments.config = "settings.yaml"  # an output stands for the settings that made it
        config_of(arguments, output=arguments.command not in ("score", "plan"), sized=arguments.command != "score")


@pytest.mark.parametrize("page", sorted(CODE.keys() - {"docs/deploying.md"}))
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


def test_the_page_on_input_files_names_every_format_and_codec() -> None:
    page = PAGES["docs/input.md"]
    suffixes = [suffix for entry in ENTRIES.values() for suffix in entry.suffixes]
    suffixes += [codec.suffixes[0] for codec in CODECS.values() if codec.suffixes[0]]
    assert [suffix for suffix in suffixes if f"`{suffix}`" not in page] == []


LINKING = [str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]]


@pytest.mark.parametrize("page", LINKING)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_the_site_has_every_page() -> None:
    order = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES if page != "README.md" and page.removeprefix("docs/") not in order] == []
