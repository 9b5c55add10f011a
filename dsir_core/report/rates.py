"""Charts of who was selected: by source file, by length, by stratum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsir_core.report.charts import Bars, Chart, bar_chart
from dsir_core.report.figures import Figures
from dsir_core.report.formatting import counted

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
    some = [group for group in groups if group["selected"]]
    shown = (some or groups)[:N_BARS]
    title = f"Share of the selection by {what}, %"
    bars = Bars("share", [100 * g["share"] for g in shown], "selected")
    return {
        "chart": Chart(bar_chart([g["name"] for g in shown], [bars], title, _share), title),
        "groups": groups,
        "others": others,
        "summary": _summary(groups, some, "selected"),
    }


def rate_chart(what: str, rates: Figures) -> dict[str, Any]:
    """Selected share of the eligible documents of each group.

    Args:
        what: the groups are.
        rates: `groups`, dicts of name, documents, eligible, selected; `others`, the sum of more groups, or None.
    """
    groups = rates["groups"]
    some = [group for group in groups if group["eligible"]]
    largest = {g["name"] for g in sorted(some or groups, key=lambda g: (-g["eligible"], g["name"]))[:N_BARS]}
    shown = [group for group in some or groups if group["name"] in largest]
    bars = Bars("share", [100 * group["selected"] / max(1, group["eligible"]) for group in shown], "selected")
    title = f"Selected share of the eligible documents by {what}, %"
    return {
        "chart": Chart(bar_chart([group["name"] for group in shown], [bars], title, _share), title),
        "groups": groups,
        "others": rates["others"],
        "summary": _summary(groups, some, "eligible"),
    }


def _summary(groups: Sequence[Figures], some: Sequence[Figures], what: str) -> str:
    """How many groups there are, and which of them the chart leaves out.

    Args:
        some: those that have something for the chart.
        what: it is that the others have no documents of.
    """
    parts = [counted(len(groups), "group")]
    if empty := len(groups) - len(some):
        parts.append(f"{empty:,} of them without {what} documents and not in the chart")
    if len(some) > N_BARS:
        parts.append(f"the {N_BARS} largest in the chart")
    return ", ".join(parts)


def _share(value: float) -> str:
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"
