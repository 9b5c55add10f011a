"""The summary of a run as Markdown, for Prefect's UI."""

from __future__ import annotations

import re
from typing import Any

from dsir_core.report.formatting import counted, human_seconds
from dsir_core.report.pictures import pictures
from dsir_core.report.recovery import sentence
from dsir_core.report.weights import is_sampled

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


def summary_markdown(figures: dict[str, Any], report: str) -> str:
    """What was selected, whether it worked, what it cost, and the report's first charts.

    Args:
        figures: the content of report.json.
        report: where the page lies.
    """
    documents, tokens = figures["documents"], figures["tokens"]
    seconds = sum(stage["seconds"] for stage in figures["stages"].values())
    lines = [
        f"# {documents['selected']:,} of {counted(documents['raw'], 'document')} selected",
        "",
        f"{tokens['selected']:,} of {counted(tokens['raw'], 'token')}; {human_seconds(seconds)} in all stages. "
        f"Report: `{report.replace('`', '')}`",
        "",
        *(f"- {escaped(sentence(name, found))}" for name, found in figures["recovery"].items()),
        "",
        "| target | KL raw | KL selected | KL reduction |",
        "|---|---:|---:|---:|",
        *(_row(name, target) for name, target in figures["targets"].items()),
        "",
        "| documents | |",
        "|---|---:|",
        *(f"| {name} | {n:,} |" for name, n in documents.items()),
        *_spread(figures),
        f"| requests made again | {figures['storage']['retries']:,} |",
        "",
    ]
    lines += [f"- {escaped(note)}" for note in figures["notes"]]
    for title, url in pictures(figures):
        lines += ["", f"**{escaped(title)}**", "", f"![{escaped(title)}]({url})"]
    return "\n".join(lines) + "\n"


def comparison_markdown(figures: dict[str, Any], page: str) -> str:
    """The methods side by side.

    Args:
        figures: the content of compare.json.
        page: where compare.html lies.
    """
    rows = [
        f"| {escaped(name)} | {method['documents']:,} | {method['tokens']:,} | {_number(method['kl_reduction'])} |"
        for name, method in figures["methods"].items()
    ]
    return "\n".join(
        [
            f"# {len(rows)} methods compared",
            "",
            f"Page: `{page.replace('`', '')}`",
            "",
            "| method | documents | tokens | KL reduction |",
            "|---|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def _spread(figures: dict[str, Any]) -> list[str]:
    """How much chance the weights leave, where they leave any."""
    weights = figures["weights"]
    if not is_sampled(figures):
        return []
    return [
        f"| effective sample size | {weights['effective_sample_size']:,.1f} |",
        f"| overlap with plain top\\-k | {weights['top_k_overlap']:.1%} |",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:z.3f}"


def _row(name: str, target: dict[str, Any]) -> str:
    values = (target["kl_raw"], target["kl_selected"], target["kl_reduction"])
    return f"| {escaped(name)} | {' | '.join(map(_number, values))} |"


def escaped(text: str) -> str:
    """Text as Markdown shows it literally, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
