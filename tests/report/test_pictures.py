"""Charts that stand by themselves: well-formed whatever names hold, and coloured as the report's."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dsir_core.report.pictures import pictures
from tests.browser import ask
from tests.integration.conftest import DEMO, Select
from tests.integration.conftest import run_select as run_select

NAME = "<b>&\"'"


@pytest.fixture
def figures(run_select: Select) -> dict[str, object]:
    return run_select(raw=f"{DEMO}/raw", target={NAME: f"{DEMO}/targets/speeches.jsonl"}, count=100)


@pytest.mark.browser
def test_charts_are_whole_pictures_in_the_colours_of_the_report(figures: dict[str, object], tmp_path: Path) -> None:
    found = list(pictures(figures))
    assert len(found) == 3
    assert any("grey raw, orange selected" in title for title, _ in found)
    for _, url in found:
        kind, _, data = url.partition(",")
        assert kind == "data:image/svg+xml;base64"
        root = ElementTree.fromstring(base64.b64decode(data))
        assert not [element for element in root.iter() if element.tag.endswith("script")]
    page = tmp_path / "page.html"
    page.write_text("".join(f'<img src="{url}">' for _, url in found))
    script = """
      return [...document.images].map(image => {
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data, seen = {};
        for (let i = 0; i < data.length; i += 4) {
          const key = data.slice(i, i + 3).join();
          seen[key] = (seen[key] || 0) + 1;
        }
        return [data[0], data[1], data[2], seen["42,127,120"] || 0, seen["123,135,148"] || 0];
      });"""
    shown = ask(page, script)
    assert all(corner == [255, 255, 255] for *corner, _, _ in shown)
    assert all(green + grey > 100 for *_, green, grey in shown)
