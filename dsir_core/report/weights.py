"""Charts of the log weights: their distribution, and the weight of each rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dsir_core.config.methods import METHODS, Method
from dsir_core.report.charts import Chart, Colour, Line, histogram, line_chart, signed
from dsir_core.report.figures import Figures
from dsir_core.report.formatting import human_count
from dsir_core.report.recovery import likely_documents, positive_documents

MIN_POINTS = 4
"""Of a line that is worth a chart."""

LEAST_SPAN, LARGEST_SPAN = 1e-100, 1e100
"""Half of a histogram's width, for which an axis can be drawn: scores from elsewhere may be any numbers."""

AXES = {
    "none": "log weight",
    "tokens": "log weight per token × typical tokens",
    "sqrt": "log weight per square root of tokens × that of typical tokens",
}


def histograms(r: Figures) -> dict[str, Any]:
    """A chart of log weights for each who selects, and one by rank."""
    charts: list[dict[str, Any]] = []
    if not is_by_weight(r):
        return {"charts": charts}
    for name, h in r["histograms"].items():
        x_title = scale_of(r, name)
        low, high = h["low"], h["high"]
        if not LEAST_SPAN < high / 2 - low / 2 < LARGEST_SPAN:
            continue
        of_targets = [sum(column) for column in zip(*h["targets"].values(), strict=True)]
        sets: dict[Colour, list[int]] = {"raw": h["raw"], "target": of_targets, "selected": h["selected"]}
        lines = [histogram(counts, low, high, what) for what, counts in sets.items() if sum(counts)]
        top = max((y for line in lines for _, y in line.points), default=0)
        if not top:
            continue
        thresholds = [threshold for threshold in h["thresholds"] if low <= threshold <= high]
        if thresholds:
            label = f"threshold {signed(thresholds[0], lambda v: f'{v:,.1f}')}" if len(thresholds) == 1 else ""
            lines.append(Line("threshold", [(x, y) for x in thresholds for y in (0, top, 0)], "threshold", label))
        title = f"Log weights for {name}, % of documents"
        charts.append(
            {
                "chart": Chart(
                    line_chart(lines, title, f"{x_title}, nats", y_title="% of documents"),
                    title,
                    lines,
                ),
                "ranks": rank_chart(r, name, h, x_title) if h["thresholds"] else None,
                "thresholds": h["thresholds"],
                "outside": [(what, share) for what, counts in sets.items() if (share := _outside(counts)) > 0],
            }
        )
    return {"charts": charts, "is_noisy": is_sampled(r)}


def rank_chart(r: Figures, name: str, h: Figures, y_title: str) -> Chart | None:
    """The log weight of the document of each rank, down to well below the cut; None where nothing is selected.

    Args:
        r: the content of report.json.
        name: who selects.
        h: of `histograms` for it; the bins are as fine as the chart gets.
        y_title: the weights are.
    """
    selected = sum(h["selected"])
    width = (h["high"] - h["low"]) / (len(h["raw"]) - 2)
    points, rank = [], h["raw"][-1]
    for i in range(len(h["raw"]) - 2, 0, -1):
        if h["raw"][i]:
            # The first document of a bin is near its upper edge, the last near its lower one.
            points += [
                (math.log10(rank + 1), h["low"] + width * i),
                (math.log10(rank + h["raw"][i]), h["low"] + width * (i - 1)),
            ]
            rank += h["raw"][i]
    if not selected or len(points) < MIN_POINTS:
        return None
    low, high = points[-1][1], points[0][1]
    lines = [
        Line("documents of raw", points, "raw"),
        Line(f"{selected:,} selected", _upright(selected, low, high), "selected"),
    ]
    found = r.get("recovery", {}).get(name)
    likely = round(likely_documents(found, positive_documents(r, name))) if found else 0
    if 0 < likely < rank:
        lines.append(Line(f"about {likely:,} like the target", _upright(likely, low, high), "target"))
    title = f"Log weight by rank for {name}"
    decades = range(math.ceil(points[0][0]), math.floor(points[-1][0]) + 1)
    svg = line_chart(
        lines,
        title,
        "rank (logarithmic scale)",
        {float(x): human_count(10.0**x) for x in decades},
        y_title=f"{y_title}, nats",
        is_filled=False,
    )
    return Chart(svg, title, lines)


def _upright(rank: float, low: float, high: float) -> list[tuple[float, float]]:
    return [(math.log10(rank), high), (math.log10(rank), low)]


def _outside(counts: Sequence[int]) -> float:
    """Share of a histogram's documents that lie outside of its bins."""
    return (counts[0] + counts[-1]) / sum(counts) if sum(counts) else 0.0


def scale_of(r: Figures, name: str) -> str:
    """What the weights are by which documents are ordered for a target, in words."""
    lengths = r.get("fit", {}).get("length_normalise", {})
    return AXES[lengths.get(name, r.get("config", {}).get("length_normalise", "none"))]


def key_in_words(r: Figures) -> str:
    """What the documents were ordered by."""
    if not is_by_weight(r):
        return f"The method {r['config']['method']} selects the documents with the largest keys."
    scales = {scale_of(r, name) for name in r.get("histograms", {})}
    key = scales.pop() if len(scales) == 1 else "log weight for the document's length"
    if is_sampled(r):
        temperatures = r.get("weights", {}).get("temperatures", {}).values()
        divided = " divided by the temperature" if any(one != 1 for one in temperatures) else ""
        key = f"{key}{divided}, plus Gumbel noise"
    return f"A document's key is its {key}. The documents with the largest keys are selected."


def is_sampled(r: Figures) -> bool:
    """Whether importance weights decided by chance; a report may be of a method that is not known here."""
    method = _method(r)
    return method is not None and method.is_sampled


def is_by_weight(r: Figures) -> bool:
    """Whether documents were selected by their log weights; a method that is not known here is taken for one."""
    method = _method(r)
    return method is None or method.by_weight


def unmeasured(r: Figures) -> str:
    """Why there is no held-out recovery, where the method is the reason; else nothing."""
    if is_by_weight(r) or r.get("recovery"):
        return ""
    return (
        f"Held-out recovery is measured for importance weights only; dsir compare also measures it for the method "
        f"{r['config']['method']}."
    )


def _method(r: Figures) -> Method | None:
    return METHODS.get(r.get("config", {}).get("method", "importance"))
