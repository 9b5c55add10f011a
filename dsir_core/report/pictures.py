"""Charts of the report as pictures that stand by themselves, for pages that are not ours."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import escape

from dsir_core.report.charts import FONT, Chart, Colour
from dsir_core.report.html import has_all, style
from dsir_core.report.sections import SECTIONS

SHOWN = ("funnel", "distance", "histograms")
"""Sections whose charts tell most."""

COLOURS: Mapping[Colour, str] = {
    "plain": "green",
    "raw": "grey",
    "target": "blue",
    "selected": "orange",
    "random": "purple",
    "threshold": "black",
}
"""Those of style.css on white ground."""

SCALE = 2
NAMESPACE = "http://www.w3.org/2000/svg"
VIEW_BOX = re.compile(r'viewBox="0 0 (\d+) (\d+)"')


def pictures(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title (with what its colours mean) and `data:` URL of each chart, on white ground.

    Args:
        figures: the content of report.json.
    """
    for section in SECTIONS:
        if section.name in SHOWN and has_all(figures, section.needs):
            for chart in _charts(section.prepare(figures)):
                colours = [f"{COLOURS[one.colour]} {one.name}" for one in chart.legend]
                legend = f" ({', '.join(colours)})" if colours else ""
                yield chart.title + legend, _data_url(str(chart.svg))


def _charts(section: dict[str, Any]) -> Iterator[Chart]:
    if "chart" in section:
        yield section["chart"]
    for each in section.get("charts", ()):
        yield each["chart"]


def _data_url(svg: str) -> str:
    size = VIEW_BOX.search(svg)
    assert size is not None, "a chart has a view box"
    width, height = (SCALE * int(n) for n in size.groups())
    rules = style().replace(".dsir svg", ":root").replace(".dsir", ":root")
    ground = f"color-scheme: light; background: #fff; font: {FONT}px sans-serif"
    opening = f'<svg xmlns="{NAMESPACE}" width="{width}" height="{height}" style="{ground}" '
    whole = svg.replace("<svg ", opening, 1).replace(">", f"><style>{escape(rules)}</style>", 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(whole.encode()).decode()}"
