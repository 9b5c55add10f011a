"""How a size is divided among strata: by shares, as far as each stratum has documents."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def divide(size: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to shares that sum to a size: largest remainders first, equal ones in order.

    Args:
        size: at least 0.
        shares: at least 0 each, not all 0.
    """
    exact = [Fraction(share) for share in shares]
    total = sum(exact)
    ideal = [size * share / total for share in exact]
    whole = [int(part) for part in ideal]
    by_remainder = sorted(range(len(shares)), key=lambda i: (whole[i] - ideal[i], i))
    for i in by_remainder[: size - sum(whole)]:
        whole[i] += 1
    return whole


def allocate(size: int, shares: Sequence[float], available: Sequence[int]) -> list[int]:
    """Divide a size by shares; what a stratum lacks goes to the others, in proportion to their shares.

    A stratum of share 0 gets nothing. When all others are exhausted, less than the size is allocated.

    Args:
        size: documents or tokens.
        shares: of each stratum, at least 0.
        available: what each stratum has.
    """
    amounts = [0] * len(shares)
    is_open = [share > 0 and room > 0 for share, room in zip(shares, available, strict=True)]
    while any(is_open):
        left = size - sum(amounts)
        places = [i for i, still in enumerate(is_open) if still]
        wanted = dict(zip(places, divide(left, [shares[i] for i in places]), strict=True))
        full = [i for i in places if amounts[i] + wanted[i] >= available[i]]
        if not full:
            for i in places:
                amounts[i] += wanted[i]
            break
        for i in full:
            amounts[i], is_open[i] = min(available[i], amounts[i] + wanted[i]), False
    return amounts


def fill(wanted: Sequence[int], shares: Sequence[float], available: Sequence[int]) -> list[int]:
    """Give each stratum what is still wanted of it; what it lacks goes to the others, in proportion to their shares.

    Args:
        wanted: of each stratum, at least 0.
        shares, available: as for `allocate`.
    """
    own = [min(n, room) for n, room in zip(wanted, available, strict=True)]
    rest = [room - n for n, room in zip(own, available, strict=True)]
    more = allocate(sum(wanted) - sum(own), shares, rest)
    return [n + extra for n, extra in zip(own, more, strict=True)]
