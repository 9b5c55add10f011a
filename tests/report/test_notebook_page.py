"""A selection in a notebook's own page: its theme counts, and its rules for tables and code do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsir_core.report.html import render_summary
from tests.browser import ask
from tests.report.conftest import Figures
from tests.report.test_page import COLOURS

RULES = {
    "light": ".output tbody tr:nth-child(odd) { background: #f5f5f5 } .output code { background: #eee; color: #222 }",
    "dark": ".output tbody tr:nth-child(odd) { background: #222 } .output code { background: #444; color: #ddd }",
}
"""Of a notebook's stylesheet, by its theme."""

LOOK = (
    COLOURS.partition("const background")[0]
    + """
const behind = e => { for (; e; e = e.parentElement) {
  const found = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(found)) return found;
} return "rgb(255, 255, 255)"; };
const all = [...document.querySelectorAll("td, code, p, dd, h1")];
return {
  ground: light(behind(document.querySelector("h1"))),
  least: Math.min(...all.map(e => contrast(getComputedStyle(e).color, behind(e)))),
  elements: all.length,
};
"""
)


@pytest.mark.browser
@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_a_notebook_of_either_theme(
    figures: Figures, tmp_path: Path, theme: str, system: str
) -> None:
    page = tmp_path / "notebook.html"
    shown = f'<style>{RULES[theme]}</style><div class="output">{render_summary(figures)}</div>'
    head = '<!doctype html><meta charset="utf-8">'
    page.write_text(f'{head}<body data-jp-theme-light="{str(theme == "light").lower()}">{shown}</body>', "utf-8")
    found = ask(page, LOOK, dark=system == "dark")
    assert found["elements"] > 10
    assert found["ground"] < 0.05 if theme == "dark" else found["ground"] > 0.9
    assert found["least"] > 4.5
