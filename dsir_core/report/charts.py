"""Charts as inline SVG (pygal), coloured by the page's own style, so that they are light or dark with it.

The same figures give the same bytes: no identifiers, no dates. Labels are text of an XML tree, never markup.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from dsir_core.report.formatting import printable

WIDTH = 380
"""Of every chart, in its own units; on a phone that is nearly the width of the page."""

FONT = 13
LABEL_EMS = 12.0
"""Width of a label, in font sizes."""

PYGAL_EMS = 0.6
"""What pygal takes a character's width for."""

TICKS = 4
BAR_HEIGHT = 26
MARGIN = 6
THIN_BAR_HEIGHT = 18
"""Of one of several bars at a label."""

SVG = "{http://www.w3.org/2000/svg}"
USELESS = {f"{SVG}{name}" for name in ("defs", "desc", "script", "title")}
GEOMETRY = {"d", "x", "y", "width", "height", "transform", "cx", "cy", "r"}
DIGITS = re.compile(r"(\d\.\d)\d+")
"""A tenth of a unit is less than can be seen."""

SERIES = re.compile(r"(series serie-(\d+)) color-\d+")

POINT = re.compile(r"(-?[\d.]+)[ ,](-?[\d.]+)")
"""Of a path."""

MINUS = "\N{MINUS SIGN}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

Colour: TypeAlias = Literal["plain", "raw", "target", "selected", "random", "threshold"]
"""What a line or a bar shows, and so the class that colours it (see style.css): the same in every chart."""


@dataclass(frozen=True)
class Line:
    """A histogram's outline, or a threshold."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: Colour
    label: str = ""
    """Written at the highest point."""


@dataclass(frozen=True)
class Bars:
    """One bar for each label; None for none."""

    name: str
    values: Sequence[float | None]
    colour: Colour = "plain"


@dataclass(frozen=True)
class Chart:
    """A chart with what stands around it."""

    svg: Markup
    title: str
    legend: Sequence[Line | Bars] = ()
    """What it shows, where that is more than one thing."""


def histogram(counts: Sequence[int], low: float, high: float, colour: Colour) -> Line:
    """Outline of a histogram in percent of all its documents.

    Args:
        counts: of bins of equal width from low to high; the first and the last count are of what lies outside.
        colour: also its name.
    """
    inside: npt.NDArray[np.float64] = 100 * np.array(counts, np.float64)[1:-1] / max(1, sum(counts))
    edges = np.linspace(low, high, len(inside) + 1)
    xs, ys = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(inside, 2), [0.0]])
    # Points inside a level part of the outline show nothing.
    is_corner = np.append(True, ys[1:] != ys[:-1]) | np.append(ys[1:] != ys[:-1], True)
    xs, ys = xs[is_corner], ys[is_corner]
    return Line(colour, list(zip(xs.tolist(), ys.tolist(), strict=True)), colour)


def line_chart(
    lines: Sequence[Line],
    title: str,
    x_title: str,
    x_labels: Mapping[float, str] | None = None,
    *,
    y_title: str = "",
    is_filled: bool = True,
) -> Markup:
    """Lines over one axis.

    Args:
        lines: the label of one that has a label stands at its highest point.
        title: for screen readers.
        x_title: of the horizontal axis, with its unit.
        x_labels: of places on the axis, instead of round numbers.
        y_title: of the vertical axis, with its unit.
        is_filled: whether areas below the lines are filled; the vertical axis then begins at zero.
    """
    import pygal

    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high = (0.0, max(ys) or 1.0) if is_filled else (min(ys), max(ys) if max(ys) > min(ys) else min(ys) + 1.0)
    chart = pygal.XY(
        **_common(260),
        fill=is_filled,
        show_dots=False,
        range=(low, high),
        xrange=(min(xs), max(xs)),
        x_title=x_title,
        y_title=y_title or None,
    )
    chart.x_labels = (
        ticks(min(xs), max(xs)) if x_labels is None else [{"value": x, "label": label} for x, label in x_labels.items()]
    )
    chart.y_labels = ticks(low, high)
    chart.x_value_formatter = chart.value_formatter = _short
    for line in lines:
        chart.add(line.name, list(line.points))
    return _inline(chart, title, [line.colour for line in lines], [line.label for line in lines])


def bar_chart(
    labels: Sequence[str], bars: Sequence[Bars], title: str, form: Callable[[float], str] = lambda value: f"{value:,g}"
) -> Markup:
    """Horizontal bars with their values written at them, the first label at the top."""
    import pygal

    values = [value for bar in bars for value in bar.values if value is not None]
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    room = (high - low) or 1  # beside the longest bar, for its value; to the left it also has a sign
    chart = pygal.HorizontalBar(
        **_common(12 + (BAR_HEIGHT if len(bars) == 1 else THIN_BAR_HEIGHT * len(bars)) * len(labels)),
        print_values=True,
        range=(low - (0.45 * room if low < 0 else 0), high + (0.35 * room if high > 0 else 0)),
        print_values_position="top",
        show_x_labels=False,
        show_y_guides=False,
    )
    # pygal draws from the bottom up.
    chart.x_labels = list(reversed(shorten(labels)))
    missing = max((_ems(label) - PYGAL_EMS * len(label) for label in chart.x_labels), default=0.0)
    chart.margin_left = MARGIN + FONT * max(0.0, missing)
    for bar in bars:
        chart.add(bar.name, list(reversed(bar.values)), formatter=lambda v: "" if v is None else signed(v, form))
    return _inline(chart, title, [bar.colour for bar in bars])


def ticks(low: float, high: float, n: int = TICKS) -> list[float]:
    """About n round numbers from low to high."""
    if not high > low:
        return [low]
    rough = (high - low) / n
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _common(height: int) -> dict[str, Any]:
    from pygal.style import Style

    style = Style(
        font_family="inherit",
        label_font_size=FONT,
        major_label_font_size=FONT,
        value_font_size=FONT,
        title_font_size=FONT,
    )
    return {
        "style": style,
        "width": WIDTH,
        "height": height,
        "js": [],
        "margin": MARGIN,
        "spacing": 8,
        # The page has legends of its own, which wrap on a phone.
        "show_legend": False,
        "truncate_label": -1,
        "no_data_text": "nothing to show",
        "disable_xml_declaration": True,
    }


def shorten(labels: Sequence[str]) -> list[str]:
    """Labels that fit beside the bars and into XML, told apart where that is possible.

    Where one is too long, all lose what they have in common at the end, at the beginning, or both, up to a letter or
    digit; of what is then too long, the middle is left out.
    """
    shown = [printable(label) for label in labels]
    if len(shown) < 2 or all(_ems(label) <= LABEL_EMS for label in shown):
        return [_label(label) for label in shown]
    head = _common_head(shown)
    tail = _common_head([label[::-1] for label in shown])
    cuts = [
        [_without(label, first, last) for label in shown]
        for first, last in ((0, tail), (head, 0), (head, tail), (0, 0))
        if not first + last or all(len(label) > first + last for label in shown)
    ]
    labelled = [(cut, [_label(label) for label in cut]) for cut in cuts]
    return max(labelled, key=lambda one: (len(set(one[1])), sum(a == b for a, b in zip(*one, strict=True))))[1]


def _common_head(texts: Sequence[str]) -> int:
    """Characters that all begin with, up to the last one that is no letter or digit."""
    n = sum(1 for _ in itertools.takewhile(lambda chars: len(set(chars)) == 1, zip(*texts, strict=False)))
    return max((i for i in range(1, n + 1) if not texts[0][i - 1].isalnum()), default=0)


def _without(text: str, head: int, tail: int) -> str:
    """A text whose first and last characters are replaced by an ellipsis each."""
    return (ELLIPSIS if head else "") + text[head : len(text) - tail] + (ELLIPSIS if tail else "")


def _label(shown: str) -> str:
    """A label that fits beside the bars: long ones lose their middle."""
    if _ems(shown) <= LABEL_EMS:
        return shown
    head, tail = shown[: int(LABEL_EMS / PYGAL_EMS)], ""
    while _ems(head) > (LABEL_EMS - 1) / 2:
        head = head[:-1]
    while _ems(shown[-len(tail) - 1 :]) <= (LABEL_EMS - 1) / 2:
        tail = shown[-len(tail) - 1 :]
    return f"{head}{ELLIPSIS}{tail}"


def _ems(text: str) -> float:
    """The width of a text in font sizes, rather too large than too small."""
    return sum(_em(char) for char in text)


def _em(char: str) -> float:
    if char.isascii():
        return 1.0 if char in "MW@%" else 0.75 if char.isupper() else PYGAL_EMS + 0.02
    return 0.75 if char.isalpha() and unicodedata.east_asian_width(char) in "N" else 1.1


def signed(value: float, form: Callable[[float], str]) -> str:
    """A number with a minus sign that is no hyphen, where it is negative and not rounded to zero."""
    shown = form(abs(value))
    return MINUS + shown if value < 0 and any(digit in shown for digit in "123456789") else shown


def _short(value: Any) -> str:
    return signed(value, lambda v: f"{v:,g}") if isinstance(value, int | float) else ""


def _write_label(root: ElementTree.Element, index: int, label: str) -> None:
    """Write a label beside the highest point of a line, on the side where there is room."""
    paths = (path for path in root.iter(f"{SVG}path") if "line" in path.get("class", "").split())
    series = next((one for one in root.iter(f"{SVG}g") if f"serie-{index}" in one.get("class", "").split()), None)
    inside = [] if series is None else [path for path in paths if path in set(series.iter())]
    if series is None or not inside:
        return
    points = [(float(x), float(y)) for x, y in POINT.findall(inside[0].get("d", ""))]
    x, y = min(points, key=lambda point: point[1])
    side = (
        {"text-anchor": "end", "x": f"{x - 5:.1f}"} if x > WIDTH / 2 else {"text-anchor": "start", "x": f"{x + 5:.1f}"}
    )
    ElementTree.SubElement(series, f"{SVG}text", {**side, "y": f"{y + FONT:.1f}", "class": "label"}).text = label


def _inline(chart: Any, title: str, colours: Sequence[Colour], labels: Sequence[str] = ()) -> Markup:
    root = ElementTree.fromstring(chart.render())
    for group in root.iter(f"{SVG}g"):
        # pygal colours by the order of the series.
        if numbered := SERIES.fullmatch(group.get("class", "")):
            group.set("class", f"{numbered[1]} {colours[int(numbered[2])]}")
    for index, label in enumerate(labels):
        if label:
            _write_label(root, index, label)
    for parent in root.iter():
        for child in list(parent):
            # Its own styles and title, and what only scripts would show.
            if child.tag in USELESS or "tooltip-overlay" in child.get("class", ""):
                parent.remove(child)
        parent.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", title)
    for element in root.iter():
        # As a part of HTML, an element has no namespace.
        element.tag = element.tag.removeprefix(SVG)
        for name, value in element.attrib.items():
            if name in GEOMETRY:
                element.set(name, DIGITS.sub(r"\1", value))
        if element.tag == "text" and element.get("class") == "value":
            element.set("text-anchor", "end" if (element.text or "").startswith(MINUS) else "start")
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))
