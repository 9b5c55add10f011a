"""All advice stands in one table, and none of it is without an experiment that supports it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsir_core
from benchmarks.quality.advising import EXPERIMENTS, Outcome, markdown
from dsir_core.report.advice import ADVICE, advise

CORE = Path(dsir_core.__file__).parent
FLAG = re.compile(r"(?<!\S)[('`]?--[a-z]|\btry\b|\bis meant|\bselect fewer")
"""What a sentence has that advises something."""


def test_every_piece_of_advice_has_an_experiment_whose_recorded_result_supports_it() -> None:
    assert list(ADVICE) == list(EXPERIMENTS)
    assert [name for name, advice in ADVICE.items() if not 0 <= advice.ignored <= advice.followed <= 1] == []


@pytest.mark.long
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_following_the_advice_helps_where_it_is_given(name: str, tmp_path: Path) -> None:
    found = EXPERIMENTS[name](tmp_path)
    assert found.gives(name)
    assert found.followed >= found.ignored
    assert (round(found.ignored, 2), round(found.followed, 2)) == (ADVICE[name].ignored, ADVICE[name].followed)


def test_the_page_on_quality_has_the_recorded_results() -> None:
    page = (CORE.parent / "docs" / "quality-method.md").read_text(encoding="utf-8")
    assert "\n".join(markdown(ADVICE)) in page


def said(tree: ast.AST) -> Iterator[ast.expr]:
    """What is noted, warned of or listed as advice: arguments of `note`, and what generators yield."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note":
            yield from node.args
        elif isinstance(node, ast.Yield) and node.value is not None:
            yield node.value


def texts(node: ast.expr) -> str:
    return "".join(one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_no_note_or_warning_gives_advice_that_is_not_in_the_table() -> None:
    files = [*(CORE / "stages").glob("*.py"), *(CORE / "report").glob("*.py"), *(CORE / "forecasting").glob("*.py")]
    found = [
        f"{path.relative_to(CORE)}: {texts(node)}"
        for path in files
        for node in said(ast.parse(path.read_text(encoding="utf-8")))
        if FLAG.search(texts(node))
    ]
    assert found == []


def test_advice_is_recognised_in_what_is_said_and_nothing_else_is() -> None:
    text = advise("target-size", target="a{b}", documents="7 documents")
    assert text == "a{b}: 7 documents in the target, too few for a precise figure; add some if you can"
    assert Outcome((text,), 0, 0).gives("target-size")
    assert not Outcome((text,), 0, 0).gives("smoothing")
    assert not Outcome((), 0, 0).gives("target-size")
