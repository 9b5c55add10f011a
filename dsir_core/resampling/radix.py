"""Exact k-th largest of any number of keys, from histograms alone (distributed radix selection).

Keys are turned into unsigned integers of the same order. A level looks at the next 16 bits: the histogram of those
bits over all keys that share the bits found so far tells which bin holds the k-th key, and the next level refines that
bin. Four levels settle 64 bits. Histograms of parts add up to that of the whole, so nobody ever holds the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

DIGIT_BITS = 16
LEVELS = 4
BINS = 1 << DIGIT_BITS

Unit = Literal["documents", "tokens"]


def order_bits(keys: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Unsigned integers in the order of the keys; -0.0 equals 0.0.

    Args:
        keys: float64[n] without NaN.

    Returns:
        uint64[n]; 0 and 2^64 - 1 belong to no number.
    """
    bits = (keys + 0.0).view(np.uint64)
    negative = bits >> np.uint64(63) == 1
    return np.where(negative, ~bits, bits | np.uint64(1 << 63))


def keys_of_bits(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Inverse of `order_bits`: uint64[n] -> float64[n]."""
    positive = bits >> np.uint64(63) == 1
    return np.where(positive, bits & np.uint64(2**63 - 1), ~bits).view(np.float64)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Documents and tokens by the value of one 16-bit digit, as it travels: only bins that hold something."""

    bins: npt.NDArray[np.uint16]
    """uint16[b], increasing."""
    documents: npt.NDArray[np.integer]
    """[b], in the narrowest type that holds them; so are the tokens."""
    tokens: npt.NDArray[np.integer]

    @classmethod
    def of(cls, digits: npt.NDArray[np.int64], n_tokens: npt.NDArray[np.int32]) -> Histogram:
        """Histogram of digits int64[n], each with its document's n_tokens int32[n]."""
        documents = np.bincount(digits)
        # float64 sums of a shard's tokens are exact far beyond 2^50 tokens.
        return cls.sparse(documents, np.bincount(digits, weights=n_tokens).astype(np.int64))

    @classmethod
    def sparse(cls, documents: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64]) -> Histogram:
        """Histogram of documents int64[b] and tokens int64[b] of the bins from 0 to b - 1, at most 65536."""
        bins = np.flatnonzero(documents)
        return cls(bins.astype(np.uint16), _narrow(documents[bins]), _narrow(tokens[bins]))


def _narrow(values: npt.NDArray[np.int64]) -> npt.NDArray[np.integer]:
    """int64[n] of at least 0, in the narrowest type that holds them."""
    kind = np.min_scalar_type(int(values.max())) if len(values) else np.dtype(np.uint8)
    return values.astype(kind if kind.itemsize < 8 else np.int64)


def digit_histogram(
    bits: npt.NDArray[np.uint64], n_tokens: npt.NDArray[np.int32], level: int, prefix: int
) -> Histogram:
    """Histogram of the digit at `level` over the keys whose higher digits are `prefix`.

    Args:
        bits: uint64[n] ordered keys.
        n_tokens: int32[n].
        level: 0 for the leading digit.
        prefix: value of the digits before it (0 at level 0).
    """
    shift = np.uint64(64 - DIGIT_BITS * (level + 1))
    upper = bits >> shift
    if level:
        member = (upper >> np.uint64(DIGIT_BITS)) == np.uint64(prefix)
        upper, n_tokens = upper[member], n_tokens[member]
    return Histogram.of((upper & np.uint64(BINS - 1)).astype(np.int64), n_tokens)


class HistogramSum:
    """Adds up histograms of parts; 1 MB whatever their number."""

    def __init__(self) -> None:
        self.documents = np.zeros(BINS, np.int64)
        self.tokens = np.zeros(BINS, np.int64)

    def add(self, histogram: Histogram) -> None:
        """Add one part."""
        self.documents[histogram.bins] += histogram.documents
        self.tokens[histogram.bins] += histogram.tokens

    def sparse(self) -> Histogram:
        """The sum as a histogram that travels."""
        return Histogram.sparse(self.documents, self.tokens)


def add_histograms(parts: Sequence[Sequence[Histogram]]) -> list[Histogram]:
    """The sums of some lists of histograms, place by place."""
    sums = []
    for histograms in zip(*parts, strict=True):
        total = HistogramSum()
        for histogram in histograms:
            total.add(histogram)
        sums.append(total.sparse())
    return sums


@dataclass(frozen=True)
class Goal:
    """How much to take from the top of one search's keys."""

    search: int
    """Which of the searches that go on side by side."""
    amount: int
    unit: Unit = "documents"
    levels: int = LEVELS
    """How many digits to settle; with fewer than all, the threshold is the lower edge of the last bin."""


@dataclass(frozen=True)
class Threshold:
    """Take every key above `bits`, and of those equal to it, in order of (file, position), as many as `ties` allow."""

    bits: int
    ties: int
    """Documents, or tokens, still to be taken among the keys equal to `bits`; by the goal's unit."""
    unit: Unit = "documents"


EVERYTHING = Threshold(0, 0)
NOTHING = Threshold(2**64 - 1, 0)

DigitQuery = tuple[int, int]
"""(search, prefix): which keys, and which higher digits they have."""


@dataclass
class _Open:
    """A goal on its way down."""

    goal: Goal
    left: int
    prefix: int = 0


def find_thresholds(
    n_searches: int,
    make_goals: Callable[[list[HistogramSum]], Sequence[Goal]],
    histograms: Callable[[int, Sequence[DigitQuery]], list[HistogramSum]],
) -> list[Threshold]:
    """The exact threshold of each goal, in at most four passes over the keys for all searches together.

    A goal of k documents takes the k largest keys. A goal of t tokens takes the longest run of largest keys whose
    tokens sum to at most t. A goal of more than there is takes everything.

    Args:
        n_searches: how many sets of keys are searched side by side.
        make_goals: given each search's histogram of the leading digit (its totals are those of the search), the goals.
        histograms: one pass; given a level and what is wanted, the histogram of the digit at that level for each.

    Returns:
        A threshold for each goal, in the goals' order.
    """
    sums = dict(zip([(search, 0) for search in range(n_searches)],
                    histograms(0, [(search, 0) for search in range(n_searches)]), strict=True))  # fmt: skip
    goals = make_goals([sums[search, 0] for search in range(n_searches)])
    found = [NOTHING for _ in goals]
    under_way = {index: _Open(goal, goal.amount) for index, goal in enumerate(goals) if goal.amount > 0}
    for level in range(LEVELS):
        if level:
            wanted = sorted({(way.goal.search, way.prefix) for way in under_way.values()})
            sums = dict(zip(wanted, histograms(level, wanted), strict=True)) if wanted else {}
        for index, way in list(under_way.items()):
            threshold = _descend(way, sums[way.goal.search, way.prefix], level)
            if threshold is not None:
                found[index] = threshold
                del under_way[index]
    return found


def _descend(way: _Open, histogram: HistogramSum, level: int) -> Threshold | None:
    """Go down one digit: into the bin in which the goal ends. The threshold, once it is settled."""
    unit = way.goal.unit
    from_top = np.cumsum((histogram.documents if unit == "documents" else histogram.tokens)[::-1])
    # Documents: the bin that holds the amount-th. Tokens: the first bin that does not fit whole.
    place = int(np.searchsorted(from_top, way.left, side="left" if unit == "documents" else "right"))
    if place == BINS:
        return EVERYTHING
    way.left -= int(from_top[place - 1]) if place else 0
    digit = BINS - 1 - place
    way.prefix = way.prefix << DIGIT_BITS | digit
    low = 64 - DIGIT_BITS * (level + 1)
    if level + 1 == LEVELS:
        return Threshold(way.prefix, way.left, unit)
    if level + 1 == way.goal.levels:
        return Threshold(way.prefix << low, 0, unit)
    if way.goal.levels < LEVELS:
        return None
    if unit == "documents" and way.left == histogram.documents[digit]:
        return Threshold((way.prefix << low) - 1, 0, unit)  # the whole bin is taken
    if unit == "tokens" and histogram.documents[digit] == 1:
        return Threshold(((way.prefix + 1) << low) - 1, 0, unit)  # its one document does not fit
    return None
