"""From judged trials to tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from statistics import fmean, stdev
from typing import Any

from benchmarks.quality.experiments import Column, Experiment, Settings
from benchmarks.quality.trial import Trial

Found = Mapping[Trial, Mapping[str, Any]]
SHARE_OF = ("share of the first", "share of the second")
MEANING = {
    "precision": "precision at k",
    "kl_reduction": "KL reduction, nats",
    "ess": "effective sample size, documents",
    "overlap": "overlap with top-k",
    "target_ngrams": "n-grams of the target for each bucket",
    "length": "length of a selected document, to a target document",
    "eligible": "eligible documents",
}


def trials(experiment: Experiment, draws: int) -> Iterator[Trial]:
    """All trials of an experiment."""
    for settings in experiment.rows.values():
        for column in experiment.columns:
            yield from _of_cell(settings, column, draws)


def _of_cell(settings: Settings, column: Column, draws: int) -> list[Trial]:
    text = json.dumps(settings, sort_keys=True)
    return [Trial(ask, text, draw) for draw in range(draws) for ask in column.asks]


def _figure(trial: Trial, found: Found, figure: str) -> float:
    if figure in SHARE_OF:
        kind, _ = trial.ask.documents[min(SHARE_OF.index(figure), len(trial.ask.documents) - 1)]
        return float(found[trial]["shares"].get(kind, 0.0))
    return float(found[trial][figure])


def cell(
    experiment: Experiment, row: str, column: Column, figure: str, draws: int, found: Found
) -> tuple[float, float]:
    """Mean over asks and draws, and the standard deviation over draws of the mean over asks (0 for one draw)."""
    by_draw = [
        fmean(
            _figure(trial, found, figure)
            for trial in _of_cell(experiment.rows[row], column, draws)
            if trial.draw == draw
        )
        for draw in range(draws)
    ]
    return fmean(by_draw), stdev(by_draw) if draws > 1 else 0.0


def summary(experiment: Experiment, draws: int, found: Found) -> dict[str, Any]:
    """All cells, and all that is known of each trial."""
    return {
        "title": experiment.title,
        "cells": [
            {"row": row, "column": column.title, "figure": figure, "mean": mean, "deviation": deviation}
            for figure in experiment.figures
            for row in experiment.rows
            for column in experiment.columns
            for mean, deviation in [cell(experiment, row, column, figure, draws, found)]
        ],
        "trials": [
            {
                "row": row,
                "pool": trial.ask.pool,
                "target": dict(trial.ask.documents),
                "draw": trial.draw,
                "settings": settings,
                **found[trial],
            }
            for row, settings in experiment.rows.items()
            for column in experiment.columns
            for trial in _of_cell(settings, column, draws)
        ],
    }


def markdown(experiment: Experiment, draws: int, found: Found) -> Iterator[str]:
    """A table for each figure, as Markdown."""
    yield f"\n## {experiment.title} (`--only {experiment.name}`)\n"
    width = max(map(len, experiment.rows))
    for figure in experiment.figures:
        cells = {
            (row, column.title): cell(experiment, row, column, figure, draws, found)
            for row in experiment.rows
            for column in experiment.columns
        }
        worst = max(deviation for _, deviation in cells.values())
        yield f"{MEANING.get(figure, figure)} (largest deviation between draws {_shown(worst)}):\n"
        titles = [column.title for column in experiment.columns]
        yield f"| {'':<{width}} | " + " | ".join(titles) + " |"
        yield f"|{'-' * (width + 2)}|" + "|".join(f"{'-' * (len(title) + 1)}:" for title in titles) + "|"
        for row in experiment.rows:
            shown = (f"{_shown(cells[row, title][0]):>{len(title)}}" for title in titles)
            yield f"| {row:<{width}} | " + " | ".join(shown) + " |"
        yield ""


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
