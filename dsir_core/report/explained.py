"""An explained document as a page: its n-grams in a table, its text coloured by what each token adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.report.html import render_fragment, render_page

LEVELS = 6
"""Steps of colour on each side."""

MAX_TOKENS = 20_000
"""Of the text that is shown."""

N_PIECE = 10
"""N-grams on each side of a notebook's table."""


@dataclass(frozen=True)
class Contribution:
    """What one n-gram adds to a document's log weight."""

    ngram: str
    bucket: int
    times: int
    """How often it occurs in the document."""
    log_ratio: float
    """Of its bucket: what one occurrence adds, in nats."""

    @property
    def total(self) -> float:
        """What all its occurrences add."""
        return self.times * self.log_ratio


@dataclass(frozen=True)
class Explanation:
    """A document under one target's model."""

    text: str
    target: str
    log_weight: float
    contributions: tuple[Contribution, ...]
    """The largest first; their totals sum to the log weight, but for rounding."""
    spans: tuple[tuple[int, int], ...]
    """Where each token stands in the text: start and stop, in characters."""
    by_token: npt.NDArray[np.float64]
    """float64[tokens]: each n-gram's log ratio shared out evenly among its tokens; sums to the log weight, too."""

    def _repr_html_(self) -> str:
        """The strongest n-grams and the coloured text, as a notebook shows it."""
        return explanation_fragment(self)


def strongest(contributions: Sequence[Contribution], n: int) -> tuple[list[Contribution], list[Contribution]]:
    """The n-grams that add most, and those that take away most, at most n each."""
    positive = [one for one in contributions[:n] if one.total > 0]
    negative = [one for one in reversed(contributions[max(0, len(contributions) - n) :]) if one.total < 0]
    return positive, negative


def render_explanation(title: str, explanation: Explanation, n: int, facts: Sequence[str] = ()) -> str:
    """The page; the text and all else that comes from the document is escaped.

    Args:
        n: n-grams on each side of the table.
        facts: what else to say of the document.
    """
    return render_page("explain.html.jinja", title=title, **_shown(explanation, n, facts))


def explanation_fragment(explanation: Explanation, facts: Sequence[str] = ()) -> str:
    """The same as an HTML fragment with its style, for notebooks."""
    return render_fragment("explained.html.jinja", **_shown(explanation, N_PIECE, facts))


def _shown(explanation: Explanation, n: int, facts: Sequence[str]) -> dict[str, Any]:
    positive, negative = strongest(explanation.contributions, n)
    return {
        "e": explanation,
        "facts": facts,
        "sides": [("Adds to the weight", positive), ("Takes from the weight", negative)],
        "fragments": list(_fragments(explanation)),
        "is_cut": len(explanation.spans) > MAX_TOKENS,
        "max_tokens": MAX_TOKENS,
    }


def _fragments(explanation: Explanation) -> Iterator[dict[str, Any]]:
    """The text in fragments: tokens with their level of colour from -LEVELS to LEVELS, and what stands between them."""
    text = explanation.text
    shares = explanation.by_token[:MAX_TOKENS]
    full = _full(shares)
    end = 0
    for (start, stop), share in zip(explanation.spans, shares.tolist(), strict=False):
        if start > end:
            yield {"text": text[end:start], "level": 0, "share": None}
        # Two tokens may come from one character.
        yield {"text": text[max(start, end) : stop], "level": _level(share, full), "share": share}
        end = max(end, stop)
    if len(explanation.spans) <= MAX_TOKENS and end < len(text):
        yield {"text": text[end:], "level": 0, "share": None}


def levels_of(
    n_characters: int, spans: Sequence[tuple[int, int]], shares: npt.NDArray[np.float64]
) -> Iterator[tuple[int, int]]:
    """A text in fragments: how many characters, and the level of colour, from -LEVELS to LEVELS, of what they add.

    Args:
        n_characters: of the text.
        spans: start and stop of each token in it.
        shares: float64[tokens], what each adds.
    """
    full = _full(shares)
    end = 0
    for (start, stop), share in zip(spans, shares.tolist(), strict=True):
        if start > end:
            yield start - end, 0
        if stop > max(start, end):  # two tokens may come from one character
            yield stop - max(start, end), _level(share, full)
        end = max(end, stop)
    if end < n_characters:
        yield n_characters - end, 0


def _full(shares: npt.NDArray[np.float64]) -> float:
    """What takes all the colour: a few tokens would otherwise take it from all others."""
    return float(np.quantile(np.abs(shares), 0.95)) if len(shares) else 0.0


def _level(share: float, full: float) -> int:
    return max(-LEVELS, min(LEVELS, round(LEVELS * share / full))) if full else 0
