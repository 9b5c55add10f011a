"""compare.html: the methods of one comparison side by side, from the figures of compare.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsir_core.report.advice import advise
from dsir_core.report.charts import Bars, Chart, bar_chart
from dsir_core.report.figures import Figures
from dsir_core.report.html import render_fragment, render_page
from dsir_core.report.settings import as_yaml

FIGURES, PAGE = "compare.json", "compare.html"

N_LABELS = 20
"""Labels that are shown by name: those of most chosen documents."""

LEVELS = 6
"""Steps of shade of an overlap."""


def render_comparison(figures: Figures) -> str:
    """The page as text. Everything that comes from records, file names or settings is escaped.

    Args:
        figures: the content of compare.json.
    """
    title = f"DSIR comparison of {len(figures['methods'])} methods"
    return render_page(
        "compare.html.jinja", title=title, labels=_labels(figures), yaml=as_yaml(figures["config"]), **_shown(figures)
    )


def comparison_fragment(figures: Figures) -> str:
    """The methods' figures, distances and overlap as an HTML fragment with its style, for notebooks."""
    return render_fragment("compared.html.jinja", **_shown(figures))


def _shown(figures: Figures) -> dict[str, Any]:
    method = figures.get("recommendation", {}).get("method")
    return {
        "r": figures,
        "recommended": advise("method", method=method or "none of them"),
        "methods": figures["methods"],
        "distances": [_distance(figures, name) for name in figures["targets"]],
        "overlaps": _overlaps(figures),
        "precision": _precision(figures),
    }


def _distance(r: Figures, name: str) -> dict[str, Any]:
    methods = r["methods"]
    values = [method["targets"][name]["kl_reduction"] for method in methods.values()]
    title = f"KL reduction for {name}, nats: more is nearer to the target"
    return {
        "name": name,
        "chart": Chart(bar_chart(list(methods), [Bars("", values)], title, lambda v: f"{v:.3f}"), title),
    }


def _precision(r: Figures) -> Chart | None:
    methods = r["methods"]
    values = [method["precision"] for method in methods.values()]
    if all(value is None for value in values):
        return None
    title = f"Precision: documents with the label {' or '.join(r['labels']['target'])}, %"
    shares = [None if value is None else 100 * value for value in values]
    return Chart(bar_chart(list(methods), [Bars("", shares)], title, lambda v: f"{v:.1f}"), title)


def _overlaps(r: Figures) -> list[tuple[str, list[tuple[float | None, int]]]]:
    """A row for each method: what share of its documents each method has chosen, and its level of shade."""
    return [
        (method, [(share, round(LEVELS * share) if share and other != method else 0) for other, share in row.items()])
        for method, row in r["overlap"].items()
    ]


def _labels(r: Figures) -> dict[str, Any] | None:
    """Shares of labels in what is eligible and in what each method has chosen."""
    if r["labels"] is None:
        return None
    methods = list(r["methods"].values())
    eligible = r["labels"]["eligible"]
    chosen = {label: sum(method["labels"].get(label, 0) for method in methods) for label in eligible}
    first = sorted(eligible, key=lambda label: (-chosen[label], -eligible[label], label))
    shown, rest = first[:N_LABELS], first[N_LABELS:]
    columns = [eligible, *(method["labels"] for method in methods)]
    rows = [(label, _shares(columns, [label])) for label in shown]
    if rest:
        rows.append((f"{len(rest):,} others", _shares(columns, rest)))
    return {"field": r["labels"]["field"], "target": r["labels"]["target"], "rows": rows}


def _shares(columns: Sequence[dict[str, int]], labels: Sequence[str]) -> list[float | None]:
    """Of each column's documents the share that has one of some labels."""
    totals = [sum(column.values()) for column in columns]
    found = [sum(column.get(label, 0) for label in labels) for column in columns]
    return [n / total if total else None for n, total in zip(found, totals, strict=True)]
