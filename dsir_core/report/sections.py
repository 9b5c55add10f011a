"""The sections of the page: which figures each needs, and the charts it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dsir_core.config.methods import METHODS
from dsir_core.report.charts import Bars, Chart, Line, bar_chart, histogram, line_chart, signed
from dsir_core.report.formatting import human_count, human_seconds
from dsir_core.report.moved import moved_sides
from dsir_core.report.recovery import (
    all_advice,
    below_zero,
    is_resolved,
    likely_documents,
    overall,
    positive_documents,
    sentence,
)
from dsir_core.report.settings import as_yaml

Figures: TypeAlias = dict[str, Any]

N_TILES = 3
"""Targets that the first screen names."""

N_BARS = 20
"""Groups shown in a chart; the table beside it has all that are reported."""

MUCH_OVERLAP = 0.9

MIN_POINTS = 4
"""Of a line that is worth a chart."""


@dataclass(frozen=True)
class Section:
    """A part of the page, and its template's name."""

    name: str
    needs: tuple[str, ...]
    """Keys of report.json, with dots."""
    prepare: Callable[[Figures], dict[str, Any]] = lambda figures: {}
    """What the template wants beside the figures."""
    title: str = ""
    """Heading, and entry of the page's contents; a section without one is always shown."""


def _funnel(r: Figures) -> dict[str, Any]:
    documents = r["documents"]
    steps = {"raw": documents["raw"], "readable": documents["raw"] - documents["bad"]}
    excluded = documents.get("excluded", 0)
    if excluded:
        steps["by conditions"] = steps["readable"] - excluded
    steps |= {"eligible": documents["eligible"], "selected": documents["selected"]}
    ineligible = r.get("ineligible", {}).get("reasons", {"not eligible": documents["ineligible"]})
    return {
        "chart": Chart(
            bar_chart(list(steps), [Bars("documents", list(steps.values()))], "Documents by step", _whole), "Documents"
        ),
        "losses": [
            *((f"bad: {reason}", n) for reason, n in r["bad"]["reasons"].items()),
            *([("kept out by conditions", excluded)] if excluded else []),
            *((f"ineligible: {reason}", n) for reason, n in ineligible.items() if n),
            *([("copies of earlier documents", n)] if (n := documents.get("copies", 0)) else []),
            *([("copies of target documents", n)] if (n := documents.get("target_copies", 0)) else []),
            ("rejected", documents["rejected"]),
        ],
    }


def _headline(r: Figures) -> dict[str, Any]:
    recovery = r.get("recovery", {})
    recovered = [
        {
            "name": name,
            "figure": ("" if is_resolved(found) else "at most ") + f"{found['recovered']:.0%}",
            "random": f"{found['share']:.2g}".rstrip("0").rstrip(".")
            if found["share"] > 1
            else f"{found['share']:.2%}",
        }
        for name, found in list(recovery.items())[:N_TILES]
    ]
    targets = list(r.get("targets", {}))
    more = len(targets) - N_TILES
    return {
        "names": ", ".join(targets[:N_TILES]) + (f" and {more} more" if more > 0 else ""),
        "output": r.get("config", {}).get("output"),
        "ended": r.get("time", {}).get("ended"),
        "version": r.get("versions", {}).get("dsir-pipeline"),
        "recovered": recovered,
        "verdict": overall(r),
        "sentences": [*(sentence(name, found) for name, found in recovery.items()), *below_zero(r)],
        "advice": list(all_advice(r)),
    }


def _settings(r: Figures) -> dict[str, Any]:
    return {"yaml": as_yaml(r["config"])}


def _recovery(r: Figures) -> dict[str, Any]:
    recovery = r["recovery"]
    charts = []
    for name, found in recovery.items():
        # By decades: small shares are where selections are made.
        curve = [(math.log10(100 * share), 100 * value) for share, value in found["curve"]]
        lines = [
            Line("held-out target documents", curve),
            Line("random selection", [(x, 10**x) for x, _ in curve]),
        ]
        if found["share"] > 0:
            x = max(curve[0][0], math.log10(100 * found["share"]))
            lines.append(Line("size of this selection", [(x, 0.0), (x, 100.0)]))
        title = f"Recovered documents of {name}, %"
        decades = range(math.ceil(curve[0][0]), 3)
        svg = line_chart(lines, title, "selected share of raw, %", {x: f"{10.0**x:g}" for x in decades})
        charts.append(Chart(svg, title, [line.name for line in lines]))
    return {"charts": charts}


def _distance(r: Figures) -> dict[str, Any]:
    targets = r["targets"]
    bars = [Bars(side, [target[f"kl_{side}"] for target in targets.values()]) for side in ("raw", "selected")]
    svg = bar_chart(list(targets), bars, "KL divergence from each target before and after", lambda v: f"{v:.3f}")
    return {"chart": Chart(svg, "KL divergence, nats: less is nearer to the target", ("raw", "selected"))}


def _weights(r: Figures) -> dict[str, Any]:
    spread = r["weights"]["top_k_overlap"] > MUCH_OVERLAP and _is_sampled(r)
    return {"is_near_top_k": spread and r["documents"]["selected"] > 0}


def _is_sampled(r: Figures) -> bool:
    """Whether importance weights decided by chance; a report may be of a method that is not known here."""
    method = METHODS.get(r["config"].get("method", "importance"))
    return method is not None and method.is_sampled


LEAST_SPAN, LARGEST_SPAN = 1e-100, 1e100
"""Half of a histogram's width, for which an axis can be drawn: scores from elsewhere may be any numbers."""

AXES = {
    "none": "log weight",
    "tokens": "log weight per token x typical tokens",
    "sqrt": "log weight per square root of tokens x that of typical tokens",
}


def _histograms(r: Figures) -> dict[str, Any]:
    charts = []
    asked = r["config"].get("length_normalise", "none")
    lengths = r.get("fit", {}).get("length_normalise", {})
    for name, h in r["histograms"].items():
        x_title = AXES[lengths.get(name, asked)]
        low, high = h["low"], h["high"]
        if not LEAST_SPAN < high / 2 - low / 2 < LARGEST_SPAN:
            continue
        of_targets = [sum(column) for column in zip(*h["targets"].values(), strict=True)]
        sets = {"raw": h["raw"], "target": of_targets, "selected": h["selected"]}
        # A set without documents keeps its colour for itself.
        lines = [histogram(counts, low, high, what) if sum(counts) else Line("", []) for what, counts in sets.items()]
        top = max((y for line in lines for _, y in line.points), default=0)
        if not top:
            continue
        thresholds = [threshold for threshold in h["thresholds"] if low <= threshold <= high]
        if thresholds:
            label = f"threshold {signed(thresholds[0], lambda v: f'{v:,.1f}')}" if len(thresholds) == 1 else ""
            lines.append(Line("threshold", [(x, y) for x in thresholds for y in (0, top, 0)], label))
        title = f"Log weights for {name}, % of documents"
        charts.append(
            {
                "chart": Chart(
                    line_chart(lines, title, f"{x_title}, nats", y_title="% of documents"),
                    title,
                    [line.name for line in lines],
                ),
                "ranks": rank_chart(r, name, h, x_title) if h["thresholds"] else None,
                "thresholds": h["thresholds"],
                "outside": [(what, share) for what, counts in sets.items() if (share := _outside(counts)) > 0],
            }
        )
    return {"charts": charts, "is_noisy": _is_sampled(r)}


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
        Line("documents of raw", points),
        Line(f"{selected:,} selected", _upright(selected, low, high), "selected"),
    ]
    found = r.get("recovery", {}).get(name)
    likely = round(likely_documents(found, positive_documents(r, name))) if found else 0
    if 0 < likely < rank:
        lines.append(Line(f"about {likely:,} like the target", _upright(likely, low, high)))
    title = f"Log weight by rank for {name}"
    decades = range(math.ceil(points[0][0]), math.floor(points[-1][0]) + 1)
    svg = line_chart(
        lines,
        title,
        "rank of the document, by decades",
        {float(x): human_count(10.0**x) for x in decades},
        y_title=f"{y_title}, nats",
        is_filled=False,
    )
    return Chart(svg, title, [line.name for line in lines])


def _upright(rank: float, low: float, high: float) -> list[tuple[float, float]]:
    return [(math.log10(rank), high), (math.log10(rank), low)]


def _outside(counts: Sequence[int]) -> float:
    """Share of a histogram's documents that lie outside of its bins."""
    return (counts[0] + counts[-1]) / sum(counts) if sum(counts) else 0.0


RATES = {"files": "source file", "lengths": "length in tokens", "strata": "stratum"}


def _rates(r: Figures) -> dict[str, Any]:
    if not r["documents"]["selected"]:
        return {"charts": []}
    return {
        "charts": [
            share_chart(RATES.get(by, by), rates) if by == "strata" else rate_chart(RATES.get(by, by), rates)
            for by, rates in r["rates"].items()
            if rates["groups"]
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


def _whole(value: float) -> str:
    return f"{value:,.0f}"


KINDS = {"selected": "Selected", "barely": "Just selected", "missed": "Just missed", "rejected": "Rejected"}


def _fragments(example: Figures) -> Iterator[tuple[str, int]]:
    """The text in fragments with their levels of colour; of an older report in one."""
    text, place = example["text"], 0
    for n, level in example.get("levels", ()):
        yield text[place : place + n], level
        place += n
    yield text[place:], 0


def _examples(r: Figures) -> dict[str, Any]:
    groups: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for example in r["examples"]:
        groups[example.get("kind", "selected")].append({**example, "fragments": list(_fragments(example))})
    has_kinds = any("kind" in example for example in r["examples"])
    return {
        "groups": [
            (KINDS[kind], kind, found) for kind, found in groups.items() if found or (has_kinds and kind != "barely")
        ],
        "is_coloured": any(example.get("levels") for example in r["examples"]),
    }


def _stages(r: Figures) -> dict[str, Any]:
    stages = r["stages"]
    bars = [Bars("seconds", [stage["seconds"] for stage in stages.values()])]
    slowest = [
        {"stage": name, **shard}
        for name, stage in stages.items()
        for shard in stage.get("slowest", [])
    ]  # fmt: skip
    title = "Time by stage"
    return {
        "chart": Chart(bar_chart(list(stages), bars, title, human_seconds), title),
        "has_retries": all("retries" in stage for stage in stages.values()),
        "slowest": slowest,
    }


SECTIONS = (
    Section(
        "headline",
        ("documents.selected", "documents.raw", "tokens.selected", "tokens.raw", "kl_reduction"),
        _headline,
    ),
    Section("notes", ("notes",)),
    Section("recovery", ("recovery",), _recovery, "Held-out recovery"),
    Section("distance", ("targets",), _distance, "Distance to the target"),
    Section(
        "funnel",
        ("documents.raw", "documents.bad", "documents.eligible", "documents.selected", "documents.ineligible",
         "documents.rejected", "bad.reasons"),
        _funnel,
        "What became of the records",
    ),
    Section("histograms", ("histograms", "config"), _histograms, "Log weights"),
    Section(
        "weights",
        ("weights.effective_sample_size", "weights.top_k_overlap", "weights.quantiles", "config.method",
         "documents.eligible", "documents.selected"),
        _weights,
        "Spread of the weights",
    ),
    Section("rates", ("rates", "documents.selected"), _rates, "Who was selected"),
    Section("moved", ("moved",), moved_sides, "What the selection talks about"),
    Section("examples", ("examples",), _examples, "Examples"),
    Section("stages", ("stages",), _stages, "Stages"),
    Section("quarantine", ("bad.reasons", "bad.first", "damaged", "documents.bad"), title="Quarantine"),
    Section("corpus", ("corpus",), title="Corpora"),
    Section("settings", ("config", "versions", "selection_digest"), _settings, "Settings"),
)  # fmt: skip
"""In the order of the page."""
