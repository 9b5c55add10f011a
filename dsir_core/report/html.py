"""report.html: one self-contained page from the figures of report.json."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2

from dsir_core.report.words import human_bytes


def render(figures: dict[str, Any]) -> str:
    """The page as text. Everything that comes from documents, file names or settings is escaped.

    Args:
        figures: the content of report.json.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["size"] = human_bytes
    template = (resources.files("dsir_core.report") / "report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(r=figures)
