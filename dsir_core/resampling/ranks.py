"""Where a target's hidden documents would stand among raw documents, and what follows: recovery, a choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054
"""Of a normal distribution: 95 % lie within so many standard deviations."""

RESOLVED = 10
"""A share of raw is resolved by a sample in which it is at least so many documents.

The cut that so many documents make is known to a third of the share. With fewer, a hidden document that none of the
sample stands above counts as recovered, however many of the corpus do.
"""


@dataclass(frozen=True)
class Ranks:
    """Where a target's hidden documents would stand among raw documents."""

    above: npt.NDArray[np.int64]
    """int64[n]: twice the number of eligible raw documents in the sample that score above each hidden document, where
    one that scores the same counts once; -1 for a hidden document that is not eligible."""
    n_raw: int
    """Eligible raw documents in the sample."""

    def __len__(self) -> int:
        return len(self.above)

    @property
    def ineligible(self) -> int:
        """Hidden documents that are not eligible; they count as not recovered."""
        return int((self.above < 0).sum())

    @property
    def resolution(self) -> float:
        """The smallest share of raw whose recovery the sample tells; below it, that of this share is an upper bound."""
        return min(1.0, RESOLVED / self.n_raw)

    def found(self, share: float) -> npt.NDArray[np.bool_]:
        """bool[n]: hidden documents that a selection of this share of the eligible raw documents would hold."""
        return (self.above >= 0) & (self.above < 2 * share * self.n_raw)

    def recovered(self, share: float) -> int:
        """The number of these documents."""
        return int(self.found(share).sum())

    def recovery(self, share: float) -> float:
        """The same as a share of the hidden documents."""
        return self.recovered(share) / len(self)

    @property
    def auc(self) -> float:
        """The probability that an eligible hidden document scores above an eligible raw document, ties counting half.

        0.5 is what a model that cannot tell them apart has; NaN where no hidden document is eligible.
        """
        eligible = self.above[self.above >= 0]
        return 1.0 - int(eligible.sum()) / (2 * self.n_raw * len(eligible)) if len(eligible) else math.nan

    def interval(self, share: float) -> tuple[float, float]:
        """The 95 % confidence interval of the recovery (Wilson score), for the number of hidden documents."""
        return wilson(self.recovered(share), len(self))


def wilson(found: int, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, of which `found` of `n` were seen (Wilson score)."""
    p = found / n
    middle, spread = p + Z**2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return min(p, max(0.0, (middle - spread) / scale)), max(p, min(1.0, (middle + spread) / scale))


def is_within_error(of_best: npt.NDArray[np.bool_], of_other: npt.NDArray[np.bool_]) -> bool:
    """Whether a choice finds as many hidden documents as the best one, within a standard error of the difference.

    The error is from the hidden documents that one of them finds and the other does not (McNemar).

    Args:
        of_best, of_other: bool[n], which hidden documents each finds.
    """
    lost, won = found_by_one(of_best, of_other)
    return lost - won <= math.sqrt(lost + won)


def found_by_one(of_best: npt.NDArray[np.bool_], of_other: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """How many hidden documents the first finds alone, and how many the other."""
    return int((of_best & ~of_other).sum()), int((of_other & ~of_best).sum())


def pick(ranks: Sequence[Ranks], share: float) -> int:
    """Index of the candidate to use: the first whose recovery is within a standard error of the best.

    The best is by recovery, then by AUC, then the earlier. So a choice changes with the share only where the recovery
    does.

    Args:
        share: of raw, at which recovery is compared; the smallest that the sample resolves, if it is below that.
    """
    at = max(share, ranks[0].resolution)
    best = max(range(len(ranks)), key=lambda i: (ranks[i].recovered(at), ranks[i].auc, -i))
    of_best = ranks[best].found(at)
    return next(index for index, other in enumerate(ranks) if is_within_error(of_best, other.found(at)))


SHARES = tuple(10.0 ** (-4 + step / 8) for step in range(33))
"""Shares of the eligible raw documents at which the recovery curve is drawn: 0.01 % to 100 %."""

ENOUGH = 0.95
"""Recovery that is called enough."""


@dataclass(frozen=True)
class Curve:
    """Recovery against the share of eligible raw documents that is selected."""

    shares: tuple[float, ...]
    recovery: tuple[float, ...]

    @classmethod
    def of(cls, ranks: Ranks) -> Curve:
        """The curve at the smallest share that the sample resolves, and at those of `SHARES` above it."""
        shares = (ranks.resolution, *(share for share in SHARES if share > ranks.resolution))
        return cls(shares, tuple(ranks.recovery(share) for share in shares))

    @property
    def knee(self) -> float:
        """The share at which recovery exceeds that of a random selection the most (Youden's J)."""
        gains = [recovery - share for share, recovery in zip(self.shares, self.recovery, strict=True)]
        return self.shares[gains.index(max(gains))]

    @property
    def enough(self) -> float | None:
        """The smallest share that recovers `ENOUGH` of the hidden documents; None where that takes all of raw."""
        reached = (s for s, r in zip(self.shares, self.recovery, strict=True) if r >= ENOUGH and s < 1)
        return next(reached, None)
