"""Whether held-out recovery tells what labels tell: its rank correlation with precision at k, and a picture of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

MISLED = 0.2
"""Difference of recovery from precision from which on a case is listed."""

SPREAD = {"temperature", "target_ess"}
"""Settings with which the selection is not the top of a ranking, whose recovery is measured."""

SIDE, MARGIN = 360, 44
"""Of the picture, in pixels."""

COLOURS = {"demo": "#1b6ca8", "technical": "#c8553d", "languages": "#3a7d44", "japanese": "#7b5ea7"}


def cases(experiments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Trials with a target of one kind whose recovery was measured, each once.

    Args:
        experiments: as in result.json.
    """
    found = {}
    for experiment in experiments.values():
        for trial in experiment["trials"]:
            if len(trial["target"]) == 1 and trial["recovery"] and trial["judged"]:
                ((kind, n),) = trial["target"].items()
                (recovery,) = trial["recovery"].values()
                case = {"pool": trial["pool"], "kind": kind, "documents": n, "settings": trial["settings"]}
                case |= {"precision": trial["precision"], "recovery": recovery}
                found[(trial["pool"], kind, n, trial["draw"], str(trial["settings"]))] = case
    return list(found.values())


def correlation(some: Sequence[Mapping[str, Any]]) -> float | None:
    """Spearman's rank correlation of recovery with precision; None where one of them is constant."""
    if len({case["recovery"] for case in some}) < 2 or len({case["precision"] for case in some}) < 2:
        return None
    return float(spearmanr([case["recovery"] for case in some], [case["precision"] for case in some]).statistic)


def agreement(experiments: Mapping[str, Any]) -> dict[str, Any]:
    """Rank correlations over all cases, by pool and by size of the target; and the mean difference of each kind."""
    measured = cases(experiments)
    spread = [case for case in measured if SPREAD & set(case["settings"])]
    all_cases = [case for case in measured if not SPREAD & set(case["settings"])]
    groups = {"all": all_cases, "with temperature or target_ess (in no other row)": spread}
    for case in all_cases:
        groups.setdefault(f"pool {case['pool']}", []).append(case)
        groups.setdefault(f"{case['documents'] or 'all'} documents", []).append(case)
    kinds: dict[tuple[str, str], list[float]] = {}
    for case in all_cases:
        kinds.setdefault((case["pool"], case["kind"]), []).append(case["recovery"] - case["precision"])
    return {
        "groups": {name: {"cases": len(some), "correlation": correlation(some)} for name, some in groups.items()},
        "kinds": {f"{pool}, {kind}": sum(each) / len(each) for (pool, kind), each in kinds.items()},
        "misled": sum(abs(case["recovery"] - case["precision"]) >= MISLED for case in all_cases),
    }


def markdown(found: Mapping[str, Any]) -> Iterator[str]:
    """The same as Markdown tables."""
    yield "\n## recovery and precision\n"
    yield "| cases | number | rank correlation of recovery with precision at k |"
    yield "|---|---:|---:|"
    for name, group in found["groups"].items():
        value = group["correlation"]
        yield f"| {name} | {group['cases']:,} | {'' if value is None else f'{value:.2f}'} |"
    yield f"\nCases in which they differ by {MISLED} or more: {found['misled']:,}. Mean difference by kind:\n"
    yield "| pool, kind | recovery less precision |"
    yield "|---|---:|"
    for name, mean in sorted(found["kinds"].items(), key=lambda item: -item[1]):
        yield f"| {name} | {mean:+.2f} |"


def picture(some: Sequence[Mapping[str, Any]]) -> str:
    """A scatter of recovery against precision as SVG, a point a case, a colour a pool."""

    def at(x: float, y: float) -> str:
        return f'cx="{MARGIN + SIDE * x:.1f}" cy="{MARGIN / 2 + SIDE * (1 - y):.1f}"'

    width, height = SIDE + 2 * MARGIN, SIDE + 1.5 * MARGIN
    bottom, right = MARGIN / 2 + SIDE, MARGIN + SIDE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>Held-out recovery against precision at k</title>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{MARGIN} {bottom}H{right}M{MARGIN} {bottom}V{MARGIN / 2}" stroke="#444"/>',
        f'<path d="M{MARGIN} {bottom}L{right} {MARGIN / 2}" stroke="#bbb" stroke-dasharray="4"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = MARGIN + SIDE * tick, bottom - SIDE * tick
        lines.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>')
        lines.append(f'<text x="{MARGIN - 5}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    lines.append(f'<text x="{MARGIN + SIDE / 2}" y="{bottom + 32}" text-anchor="middle">held-out recovery</text>')
    lines.append(
        f'<text transform="translate(12 {bottom - SIDE / 2}) rotate(-90)" text-anchor="middle">precision</text>'
    )
    shown = [case for case in some if not SPREAD & set(case["settings"])]
    points = dict.fromkeys((at(case["recovery"], case["precision"]), case["pool"]) for case in shown)
    lines += [f'<circle {place} r="2.5" fill="{COLOURS[pool]}" fill-opacity="0.45"/>' for place, pool in points]
    for row, (pool, colour) in enumerate(COLOURS.items()):
        y = MARGIN / 2 + 14 + 16 * row
        lines.append(f'<circle cx="{MARGIN + 14}" cy="{y}" r="4" fill="{colour}"/>')
        lines.append(f'<text x="{MARGIN + 24}" y="{y + 4}">{pool}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
