"""`dsir plan`."""

from __future__ import annotations

import argparse

from dsir_core.config import parse_config
from flows.options import add_options, request_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `flows.cli`."""
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """See `flows.cli`."""
    config = parse_config(request_values(arguments), sized=False, output=False)

    from dsir_core.executor import InlineExecutor
    from dsir_core.progress import Event, Note
    from dsir_core.report.words import human_bytes
    from dsir_core.stages.estimate import estimated_tokens, first_rate
    from dsir_core.stages.plan import plan
    from dsir_core.stages.run import Run

    def observe(event: Event) -> None:
        if isinstance(event, Note):
            print(f"note: {event.text}")

    work = Run(config, InlineExecutor(), observe)
    with work.connected():
        planned = plan(work)
    corpora = {"raw": planned.raw, **{f"target {name}": corpus for name, corpus in planned.targets.items()}}
    print(f"{'corpus':<24}{'files':>10}{'stored':>12}{'shards':>9}{'tokens, about':>16}  root")
    for name, corpus in corpora.items():
        files = corpus.corpus.files
        print(
            f"{name:<24}{len(files):>10,}{human_bytes(corpus.n_bytes):>12}{len(corpus.shards):>9,}"
            f"{estimated_tokens(files):>16,.0f}  {corpus.corpus.root}"
        )
    rate = first_rate(config, planned.raw)
    print(f"raw model fitted on {'all' if rate >= 1 else f'about {rate:.2%} of'} raw; workdir {config.workdir_url}")
    return 0
