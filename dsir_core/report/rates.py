"""Charts of who was selected: by source file, by length, by stratum."""

from __future__ import annotations

from typing import Any

from dsir_core.report.charts import Bars, Chart, bar_chart
from dsir_core.report.figures import Figures

N_BARS = 20
"""Groups shown in a chart; the table beside it has all that are reported."""

RATES = {"files": "source file", "lengths": "length in tokens", "strata": "stratum"}


def rates(r: Figures) -> dict[str, Any]:
    """A chart and a table for each way of grouping the documents."""
    if not r["documents"]["selected"]:
        return {"charts": []}
    return {
        "charts": [
            share_chart(RATES.get(by, by), found) if by == "strata" else rate_chart(RATES.get(by, by), found)
            for by, found in r["rates"].items()
            if found["groups"]
        ]
    }


def share_chart(what: str, rates: Figures) -> dict[str, Any]:
    """Each group's share of the selection, the largest first, with its lift: that share to the group's share of raw.

    Args:
        what: the groups are.
        rates: as of `rate_chart`.
    """
    others = rates["others"]
    everything = [*rates["groups"], *([others] if others is not None else [])]
    selected, eligible = (max(1, sum(group[key] for group in everything)) for key in ("selected", "eligible"))
    groups = [
        {
            **group,
            "share": group["selected"] / selected,
            "lift": group["selected"] / selected / (group["eligible"] / eligible) if group["eligible"] else None,
        }
        for group in sorted(rates["groups"], key=lambda group: (-group["selected"], -group["eligible"], group["name"]))
    ]
    shown = groups[:N_BARS]
    title = f"Share of the selection by {what}, %"
    svg = bar_chart([g["name"] for g in shown], [Bars("share", [100 * g["share"] for g in shown])], title, _share)
    return {"chart": Chart(svg, title), "groups": groups, "others": others, "shown": len(shown)}


def rate_chart(what: str, rates: Figures) -> dict[str, Any]:
    """Selected share of the eligible documents of each group.

    Args:
        what: the groups are.
        rates: `groups`, dicts of name, documents, eligible, selected; `others`, the sum of more groups, or None.
    """
    groups = rates["groups"]
    shown = groups
    if len(groups) > N_BARS:
        largest = {g["name"] for g in sorted(groups, key=lambda g: (-g["eligible"], g["name"]))[:N_BARS]}
        shown = [group for group in groups if group["name"] in largest]
    shares = [100 * group["selected"] / group["eligible"] if group["eligible"] else None for group in shown]
    title = f"Selected share of the eligible documents by {what}, %"
    svg = bar_chart([group["name"] for group in shown], [Bars("share", shares)], title, _share)
    return {"chart": Chart(svg, title), "groups": groups, "others": rates["others"], "shown": len(shown)}


def _share(value: float) -> str:
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"
