"""The summary of a run as Markdown, for Prefect's UI."""

from __future__ import annotations

import re
from typing import Any

from dsir_core.report.formatting import human_seconds
from dsir_core.report.pictures import pictures

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def summary_markdown(figures: dict[str, Any], report: str) -> str:
    """What was selected, whether it worked, what it cost, and the report's first charts.

    Args:
        figures: the content of report.json.
        report: where the page lies.
    """
    documents, tokens, weights = figures["documents"], figures["tokens"], figures["weights"]
    seconds = sum(stage["seconds"] for stage in figures["stages"].values())
    lines = [
        f"# {documents['selected']:,} of {documents['raw']:,} documents selected",
        "",
        f"{tokens['selected']:,} of {tokens['raw']:,} tokens; {human_seconds(seconds)} in all stages. "
        f"Report: `{report.replace('`', '')}`",
        "",
        "| target | KL raw | KL selected | KL reduction |",
        "|---|---:|---:|---:|",
        *(_row(name, target) for name, target in figures["targets"].items()),
        "",
        "| documents | |",
        "|---|---:|",
        *(f"| {name} | {n:,} |" for name, n in documents.items()),
        f"| effective sample size | {weights['effective_sample_size']:,.1f} |",
        f"| overlap with plain top\\-k | {weights['top_k_overlap']:.1%} |",
        f"| requests made again | {figures['storage']['retries']:,} |",
        "",
    ]
    lines += [f"- {escaped(note)}" for note in figures["notes"]]
    for title, url in pictures(figures):
        lines += ["", f"**{escaped(title)}**", "", f"![{escaped(title)}]({url})"]
    return "\n".join(lines) + "\n"


def _row(name: str, target: dict[str, Any]) -> str:
    values = (target["kl_raw"], target["kl_selected"], target["kl_reduction"])
    return f"| {escaped(name)} | {' | '.join('' if value is None else f'{value:.3f}' for value in values)} |"


def escaped(text: str) -> str:
    """Text as Markdown shows it literally, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
