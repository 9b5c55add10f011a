"""report.html: one self-contained page from the figures of report.json.

A section is a template and the figures that it needs. Where a report of an older version lacks one of them, the section
is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from dsir_core.report.figures import Figures
from dsir_core.report.formatting import as_sentence, counted, decimal, human_bytes, human_seconds
from dsir_core.report.sections import SECTIONS

TITLE_NEEDS = ("documents.selected", "documents.raw")
SUMMARY_SECTIONS = 4


@dataclass(frozen=True)
class Rendered:
    """A section of the page as HTML."""

    name: str
    title: str
    html: Markup


def render(figures: Figures) -> str:
    """The page as text. Everything that comes from documents, file names or settings is escaped.

    Args:
        figures: the content of report.json, of this version of the package or of an older one.
    """
    title = "DSIR selection"
    if has_all(figures, TITLE_NEEDS):
        title += f": {figures['documents']['selected']:,} of {counted(figures['documents']['raw'], 'document')}"
    return render_page("report.html.jinja", title=title, sections=list(_sections(figures)))


def render_page(name: str, **values: Any) -> str:
    """A whole page of a template that extends `page.html.jinja`, with the style that all pages share."""
    return _environment().get_template(name).render(style=style(), **values)


def render_summary(figures: Figures) -> str:
    """The page's first sections as an HTML fragment with its style, for notebooks."""
    return render_fragment("sections.html.jinja", sections=list(_sections(figures, SECTIONS[:SUMMARY_SECTIONS])))


def render_fragment(name: str, **values: Any) -> str:
    """A template as an HTML fragment with the style that all pages share, for notebooks."""
    return _environment().get_template("fragment.html.jinja").render(name=name, style=style(), **values)


def _sections(figures: Figures, wanted: Any = SECTIONS) -> Iterator[Rendered]:
    """The sections that have something to show."""
    environment = _environment()
    for section in wanted:
        if has_all(figures, section.needs):
            template = environment.get_template(f"{section.name}.html.jinja")
            html = template.render(r=figures, **section.prepare(figures))
            if html.strip():
                yield Rendered(section.name, section.title, Markup(html))


def style() -> str:
    """The style that all pages share."""
    return _text("style.css")


def has_all(figures: Figures, keys: Sequence[str]) -> bool:
    """Whether figures hold all of some keys, with dots."""
    return all(_has(figures, key) for key in keys)


def _has(figures: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(figures, dict) or part not in figures:
            return False
        figures = figures[part]
    return True


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["sentence"] = as_sentence
    environment.filters["size"] = human_bytes
    environment.filters["time"] = human_seconds
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    environment.filters["places"] = lambda value, n=3: "–" if value is None else decimal(value, n)
    return environment


def _text(name: str) -> str:
    return (resources.files("dsir_core.report") / "templates" / name).read_text(encoding="utf-8")
