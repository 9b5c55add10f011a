"""`dsir plan`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dsir_core.config.corpora import called
from dsir_core.config.request import SelectConfig
from flows.options import add_options, config_of
from flows.parser import Parser
from flows.passing import say

if TYPE_CHECKING:
    from dsir_core.forecasting.estimates import Estimate
    from dsir_core.forecasting.forecast import CorpusForecast, Forecast

CANNOT_RUN = 1


def add_arguments(parser: Parser) -> None:
    """See `flows.cli`."""
    parser.add_examples(
        "dsir plan --raw 'corpus/**/*.jsonl.zst' --target wiki=wiki.jsonl --count 10k --output selected",
        "dsir plan run.yaml --json",
    )
    add_options(parser, hidden=("inline",))
    parser.add_argument("--json", action="store_true", help="print the forecast as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = config_of(arguments, sized=False, output=False, workdir=False)

    from dsir_core.forecasting.forecast import forecast
    from dsir_core.runtime.executor import InlineExecutor
    from dsir_core.stages.run import Run

    work = Run(config, InlineExecutor())
    with work.with_storage():
        found = forecast(work, say)
    say("")
    if arguments.json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        for line in _lines(config, found):
            print(line)
    return 0 if found.can_run else CANNOT_RUN


def _lines(config: SelectConfig, found: Forecast) -> Iterator[str]:
    yield from _corpora(found)
    yield from _stages(found)
    yield from _sizes(config, found)
    yield ""
    for each in found.checks:
        yield f"{'ok  ' if each.ok else 'FAIL'}  {each.what}{f': {each.detail}' if each.detail else ''}"
    for text in found.warnings:
        yield f"\nwarning: {text}"


def _corpora(found: Forecast) -> Iterator[str]:
    from dsir_core.report.formatting import human_bytes

    def row(name: str, corpus: CorpusForecast) -> str:
        return (
            f"{name:<18}{corpus.files:>8,}{human_bytes(corpus.stored_bytes):>10}{corpus.shards:>8,}"
            f"{_about(corpus.documents):>26}{_about(corpus.tokens):>28}  {corpus.root}"
        )

    yield f"{'corpus':<18}{'files':>8}{'stored':>10}{'shards':>8}{'documents':>26}{'tokens':>28}  root"
    yield row("raw", found.raw)
    for name, corpus in found.targets.items():
        yield row(called(name), corpus)
    if found.eligible is not None:
        yield f"{'eligible':<44}{_about(found.eligible):>26}"
    if found.selection is not None:
        documents, tokens = (f"about {n:,.0f}" for n in (found.selection.documents, found.selection.tokens))
        yield f"{'to be selected':<44}{documents:>26}{tokens:>28}"


def _stages(found: Forecast) -> Iterator[str]:
    from dsir_core.report.formatting import human_seconds

    if found.seconds is None:
        return
    yield f"\n{'stage':<12}{'shards':>8}{'reused':>10}{'time, about':>14}"
    for name, stage in found.stages.items():
        reused = "not known" if stage.reused is None else f"{stage.reused:,}"
        yield f"{name:<12}{stage.shards:>8,}{reused:>10}{human_seconds(stage.seconds):>14}"
    workers = f"{found.workers:,} worker{'s' if found.workers > 1 else ''}"
    yield (
        f"in all {human_seconds(found.seconds.low)} to {human_seconds(found.seconds.high)} with {workers} as fast as "
        f"this machine is now, and some seconds to start"
    )


def _sizes(config: SelectConfig, found: Forecast) -> Iterator[str]:
    from dsir_core.report.formatting import human_bytes
    from dsir_core.report.recovery import sentence

    fitted = "all" if found.fit_rate >= 1 else f"about {found.fit_rate:.2%}"
    yield f"\nraw model fitted on {fitted} of raw; memory of a worker about {human_bytes(found.worker_bytes)}"
    for name, recovery in found.recovery.items():
        yield f"in the samples, {sentence(name, recovery)} (AUC {recovery['auc']:.2f})"
    if found.effective_sample_size is not None and config.spreads:
        yield (
            f"effective sample size {found.effective_sample_size:,.1f} among {found.sampled_eligible:,} eligible "
            f"documents of a sample"
        )
    shown = config.redacted()
    if found.workdir_bytes is not None and (shown.workdir or shown.output):
        yield f"workdir {shown.workdir_url}: about {human_bytes(found.workdir_bytes)}"
    if found.output_bytes is not None and shown.output:
        yield f"output {shown.output}: about {human_bytes(found.output_bytes)}"


def _about(figure: Estimate | None) -> str:
    return "?" if figure is None else str(figure)
