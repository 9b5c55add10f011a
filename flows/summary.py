"""The closing lines of a run."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dsir_core.config.request import SelectConfig
from dsir_core.report.advice import advise
from dsir_core.report.comparison import PAGE
from dsir_core.report.formatting import counted, speed
from dsir_core.report.recovery import all_advice, below_zero, sentence
from dsir_core.report.verdict import SENTENCES, overall, reasons
from dsir_core.report.weights import is_sampled, unmeasured

WIDE = 1000
"""Characters of a line, where there is no terminal: more than a table needs."""


def print_summary(request: SelectConfig, figures: dict[str, Any]) -> None:
    """Print what was selected, whether it worked, and where it lies."""
    config = request.redacted()
    documents, tokens, weights = figures["documents"], figures["tokens"], figures["weights"]
    print(
        f"selected {documents['selected']:,} of {counted(documents['raw'], 'document')}, "
        f"{counted(tokens['selected'], 'token')}"
    )
    print(
        f"not selected: {documents['rejected']:,} rejected, {documents['ineligible']:,} under "
        f"{config.min_tokens} tokens, {documents['bad']:,} bad"
        + (f", {documents['excluded']:,} excluded" if documents["excluded"] else "")
        + (f", {documents['copies']:,} copies of earlier ones" if documents["copies"] else "")
        + (f", {documents['target_copies']:,} copies of target documents" if documents["target_copies"] else "")
    )
    _print_verdict(figures)
    for name, target in figures["targets"].items():
        if target["kl_selected"] is not None:
            print(
                f"KL reduction for {name}: {target['kl_reduction']:z.3f} nats "
                f"({target['kl_raw']:.3f} raw, {target['kl_selected']:.3f} selected)"
            )
    if is_sampled(figures) and config.spreads:
        print(
            f"effective sample size {weights['effective_sample_size']:.1f}, "
            f"overlap with plain top-k {weights['top_k_overlap']:.1%}"
        )
    told = summary(request, figures)
    how_fast = f" ({read})" if (read := speed(figures)) else ""
    print(
        f"{told['seconds']:.1f} s in all stages{how_fast}, {counted(told['reused'], 'result')} reused from "
        f"{config.workdir_url}"
    )
    if documents["bad"]:
        print(f"bad records are listed in {config.workdir_url.rstrip('/')}/quarantine/")
    if figures["storage"]["retries"]:
        print(f"storage requests repeated: {figures['storage']['retries']:,}")
    if not figures["fit"]["refitted"]:
        print(f"model of an earlier run; raw has drifted by {figures['fit']['drift_nats']:.2g} nats since")
    print(f"selection {config.output}")
    print(f"report    {config.output.rstrip('/')}/report.html")


def _print_verdict(figures: dict[str, Any]) -> None:
    says = overall(figures)
    if says not in (None, "good"):
        print(SENTENCES[says])
    for text in reasons(figures):
        print(f"  {text}")
    for name, found in figures["recovery"].items():
        print(sentence(name, found))
    for text in (*below_zero(figures), *all_advice(figures)):
        print(f"  {text}")
    if text := unmeasured(figures):
        print(text)


def summary(request: SelectConfig, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run that are told at its end, as plain JSON values."""
    config = request.redacted()
    stages = figures["stages"].values()
    return {
        "documents": figures["documents"],
        "tokens": figures["tokens"],
        "targets": figures["targets"],
        "recovery": {
            name: {key: found[key] for key in ("recovered", "low", "high", "auc", "share")}
            for name, found in figures["recovery"].items()
        },
        "effective_sample_size": figures["weights"]["effective_sample_size"],
        "top_k_overlap": figures["weights"]["top_k_overlap"],
        "seconds": sum(stage["seconds"] for stage in stages),
        "bytes_read": sum(stage["bytes"] for stage in stages),
        "reused": sum(stage["reused"] for stage in stages),
        "retries": figures["storage"]["retries"],
        "output": config.output,
        "report": f"{config.output.rstrip('/')}/report.html",
    }


def print_comparison(request: SelectConfig, figures: dict[str, Any]) -> None:
    """Print the methods side by side, and where the page lies."""
    methods, targets, recommendation = figures["methods"], figures["targets"], figures["recommendation"]
    labelled = figures["labels"] is not None and bool(figures["labels"]["target"])
    console = _console()
    table = _table(
        "method", "documents", "tokens", "recovery", "KL reduction", "ESS", *(["precision"] if labelled else [])
    )
    for name, method in methods.items():
        table.add_row(
            name,
            f"{method['documents']:,}",
            f"{method['tokens']:,}",
            _figure(method["recovery"] and method["recovery"]["recovered"], ".0%"),
            _figure(method["kl_reduction"], "z.3f"),
            _figure(method["effective_sample_size"], ",.1f"),
            *([_figure(method["precision"], ".1%")] if labelled else []),
        )
    console.print(table)
    if len(targets) > 1:
        by_target = _table("KL reduction for", *methods)
        for target in targets:
            reductions = [method["targets"][target]["kl_reduction"] for method in methods.values()]
            by_target.add_row(Text(target), *(_figure(reduction, "z.3f") for reduction in reductions))
        console.print(by_target)
    shared = _table("also selected by", *methods)
    for name, row in figures["overlap"].items():
        shared.add_row(name, *(_figure(share, ".1%") for share in row.values()))
    console.print(shared)
    print(f"{advise('method', method=recommendation['method'] or 'none of them')}: {recommendation['reason']}")
    print(f"comparison {page_of(request)}")


def page_of(request: SelectConfig) -> str:
    """Where a comparison's page lies."""
    return f"{request.redacted().output.rstrip('/')}/{PAGE}"


def _console() -> Console:
    """Where tables go: as wide as the terminal, and where there is none as wide as they are."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
