"""The section that shows which n-grams are more frequent in the selection, and which less."""

from __future__ import annotations

from typing import Any

from dsir_core.report.charts import Bars, Chart, bar_chart

MOST_TIMES = 1000.0
"""A bucket that one side lacks is shown as so many times as frequent on the other."""


def moved_sides(r: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of `moved` in report.json: a chart and a table for each side."""
    moved = r["moved"]
    if moved is None:
        return {"sides": []}
    sides = []
    for side, words in (("gained", "more"), ("lost", "less")):
        buckets = sorted(moved[side], key=_times, reverse=True)
        if not buckets:
            continue
        named = [(one["ngrams"][0]["ngram"] if one["ngrams"] else f"bucket {one['bucket']}", one) for one in buckets]
        # Punctuation changes with the format of a text, and not with its subject.
        shown = [(name, one) for name, one in named if any(map(str.isalnum, name))] or named
        title = f"N-grams {words} frequent in the selection, by factor"
        bars = Bars(side, [_times(one) for _, one in shown])
        chart = Chart(
            bar_chart([name for name, _ in shown], [bars], title, lambda v: f"{v:,.0f}" if v >= 100 else f"{v:.3g}"),
            title,
        )
        sides.append({"chart": chart, "buckets": [{**one, "times": _times(one)} for one in buckets]})
    return {"sides": sides}


def _times(bucket: dict[str, Any]) -> float:
    """How many times as frequent a bucket is on the side on which it is more frequent; at most `MOST_TIMES`."""
    low, high = sorted((bucket["raw"], bucket["selected"]))
    return min(high / low, MOST_TIMES) if low else MOST_TIMES
