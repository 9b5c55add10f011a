"""The sections of the page: which figures each needs, and the charts it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dsir_core.report.charts import Bars, Chart, Colour, Line, bar_chart, line_chart
from dsir_core.report.figures import Figures
from dsir_core.report.formatting import decimal, human_seconds, speed
from dsir_core.report.moved import moved_sides
from dsir_core.report.rates import rates
from dsir_core.report.recovery import (
    all_advice,
    below_zero,
    is_resolved,
    sentence,
)
from dsir_core.report.settings import all_as_yaml, as_yaml
from dsir_core.report.verdict import SENTENCES, overall, reasons
from dsir_core.report.weights import AXES, histograms, is_by_weight, is_sampled, key_in_words, scale_of, unmeasured

N_TILES = 3
"""Targets that the first screen names."""

MUCH_OVERLAP = 0.9

MOST_PLACES = 10
"""Decimal places of a key are fewer."""


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
            "figure": f"{found['recovered']:.0%}" if is_resolved(found) else f"at most {found['high']:.0%}",
            "random": f"{100 * found['share']:.3g}%" if found["share"] >= 1e-6 else "less than 0.0001%",
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
        "verdict": (found := overall(r)),
        "says": SENTENCES[found] if found else "",
        "sentences": [*reasons(r), *(sentence(name, found) for name, found in recovery.items())],
        # These begin with the name of a target.
        "advice": [*below_zero(r), *all_advice(r)],
        "unmeasured": unmeasured(r),
        "speed": speed(r),
    }


def _settings(r: Figures) -> dict[str, Any]:
    config = r["config"]
    # Nobody gave a workdir: it is beside the output.
    used = {**config, "workdir": config.get("workdir") or r.get("workdir", "")}
    return {"yaml": as_yaml(config), "all": all_as_yaml(used)}


def _recovery(r: Figures) -> dict[str, Any]:
    recovery = r["recovery"]
    charts = []
    for name, found in recovery.items():
        # By decades: small shares are where selections are made.
        curve = [(math.log10(100 * share), 100 * value) for share, value in found["curve"]]
        lines = [
            Line("held-out target documents", curve, "target"),
            Line("random selection", [(x, 10**x) for x, _ in curve], "random"),
        ]
        if found["share"] > 0:
            x = max(curve[0][0], math.log10(100 * found["share"]))
            lines.append(Line("size of this selection", [(x, 0.0), (x, 100.0)], "selected"))
        title = f"Recovered documents of {name}, %"
        decades = range(math.ceil(curve[0][0]), 3)
        svg = line_chart(lines, title, "selected share of raw, %", {x: f"{10.0**x:g}" for x in decades})
        charts.append(Chart(svg, title, lines))
    return {"charts": charts}


def _distance(r: Figures) -> dict[str, Any]:
    targets = r["targets"]
    sides: tuple[Colour, ...] = ("raw", "selected")
    bars = [Bars(side, [target[f"kl_{side}"] for target in targets.values()], side) for side in sides]
    svg = bar_chart(list(targets), bars, "KL divergence from each target before and after", lambda v: f"{v:.3f}")
    return {"chart": Chart(svg, "KL divergence, nats: less is nearer to the target", bars)}


def _weights(r: Figures) -> dict[str, Any]:
    return {
        "is_by_weight": is_by_weight(r),
        "is_normalised": any(scale_of(r, name) != AXES["none"] for name in r["weights"]["quantiles"]),
        "is_sampled": is_sampled(r),
        "is_near_top_k": r["weights"]["top_k_overlap"] > MUCH_OVERLAP and r["documents"]["selected"] > 0,
    }


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
    by_weight = is_by_weight(r)
    for example in r["examples"]:
        shown = example if by_weight else {**example, "levels": ()}
        key = key_and_threshold(example.get("key"), example.get("threshold"))
        groups[example.get("kind", "selected")].append({**shown, "fragments": list(_fragments(shown)), "keys": key})
    has_kinds = any("kind" in example for example in r["examples"])
    return {
        "groups": [
            (KINDS[kind], kind, found) for kind, found in groups.items() if found or (has_kinds and kind != "barely")
        ],
        "is_coloured": by_weight and any(example.get("levels") for example in r["examples"]),
        "is_by_weight": by_weight,
        "key": key_in_words(r) if any(one["keys"] for found in groups.values() for one in found) else "",
    }


def key_and_threshold(key: float | None, threshold: float | None) -> tuple[str, str] | None:
    """Both with as many decimal places as tell them apart; None where one of them is not known."""
    if key is None or threshold is None:
        return None
    places = next((n for n in range(1, MOST_PLACES) if decimal(key, n) != decimal(threshold, n)), 1)
    return decimal(key, places), decimal(threshold, places)


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
    Section("histograms", ("histograms", "config"), histograms, "Log weights"),
    Section(
        "weights",
        ("weights.effective_sample_size", "weights.top_k_overlap", "weights.quantiles", "config.method",
         "documents.eligible", "documents.selected"),
        _weights,
        "Spread of the weights",
    ),
    Section("rates", ("rates", "documents.selected"), rates, "Who was selected"),
    Section("moved", ("moved",), moved_sides, "What the selection talks about"),
    Section("examples", ("examples",), _examples, "Examples"),
    Section("stages", ("stages",), _stages, "Stages"),
    Section("quarantine", ("bad.reasons", "bad.first", "damaged", "documents.bad"), title="Quarantine"),
    Section("corpus", ("corpus",), title="Corpora"),
    Section("settings", ("config", "versions", "selection_digest"), _settings, "Settings"),
)  # fmt: skip
"""In the order of the page."""
