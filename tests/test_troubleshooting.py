"""The page on troubleshooting has every message, and only messages that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dsir_core

ROOT = Path(__file__).parents[1]
HOME = Path(dsir_core.__file__).parents[1]
"""Of the code under test, which may be an installed package."""

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FRAGMENTS = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
FAILURES = re.compile(
    r"damaged|DamagedFileError|(Request|RunFailed|StageFailed|ClusterLost|WorkerLost|MixedVersions)Error"
)
SHORTEST = 8
"""Shorter literals are no more than punctuation between values."""

LAYERS = ("dsir_core", "flows", "tasks", "deployments")
OF_DEVELOPERS = "there is a method "
"""Who adds a method twice is told so; no user is."""


def strings(node: ast.AST) -> list[str]:
    """Literal parts of what a node says."""
    values = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
    return [value for value in values if isinstance(value, str) and len(value) >= SHORTEST]


TREES = {
    str(path.relative_to(HOME)): ast.parse(path.read_text(encoding="utf-8"))
    for layer in LAYERS
    for path in sorted((HOME / layer).rglob("*.py"))
}


def messages() -> dict[str, list[str]]:
    """By file and line, the literal parts of each message that ends a run or refuses a request."""
    found: dict[str, list[str]] = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if FAILURES.fullmatch(name) or ("/config/" in path and name == "ValueError"):
                    parts = [part for argument in node.args for part in strings(argument) if part != OF_DEVELOPERS]
                    found |= {f"{path}:{node.lineno}": parts} if parts else {}
    return found


MESSAGES = messages()
SAID = [part for tree in TREES.values() for part in strings(tree)]


@pytest.mark.parametrize("place", MESSAGES)
def test_a_message_is_on_the_page(place: str) -> None:
    assert any(fragment in part for part in MESSAGES[place] for fragment in FRAGMENTS), (
        f"docs/troubleshooting.md does not explain {MESSAGES[place]}"
    )


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_the_page_names_messages_that_there_are(fragment: str) -> None:
    assert any(fragment in part for part in SAID)
