"""How a size is divided among targets and strata: by shares, exactly, and as far as each stratum has documents."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm


def divide(size: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to shares that sum to a size: largest remainders first, equal ones in order.

    A share of 0 gets nothing.

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


def divide_table(sizes: Sequence[int], shares: Sequence[Sequence[float]]) -> list[list[int]]:
    """Divide the size of each row among columns, so that the sums of rows and of columns are both right.

    Where all rows have the same shares, the sum of the sizes is first divided among the columns: a column then holds
    as much as it would with a single row. Rows that have shares of their own give each column the sum of their exact
    parts, rounded up or down. Either way a cell is its exact part, rounded up or down.

    Args:
        sizes: of each row, at least 0.
        shares: of each column in each row, at least 0; not all 0 in a row.
    """
    if all(list(row) == list(shares[0]) for row in shares):
        columns, whole = divide(sum(sizes), shares[0]), max(1, sum(sizes))
        return _round_table([[Fraction(size * column, whole) for column in columns] for size in sizes])
    exact = [[Fraction(share) for share in row] for row in shares]
    return _round_table([[size * share / sum(row) for share in row] for size, row in zip(sizes, exact, strict=True)])


def _round_table(exact: Sequence[Sequence[Fraction]]) -> list[list[int]]:
    """Round a table whose rows have whole sums: rows keep them, and columns theirs, rounded up or down.

    Controlled rounding (Cox 1987). One more row makes the columns whole, too. Then no row or column has a single cell
    that is not whole, so there is a cycle of such cells; what one cell of it gains the next one loses, until one is
    whole.
    """
    balance = [-sum(column) for column in zip(*exact, strict=True)]
    table = [*exact, balance]
    unit = lcm(*(cell.denominator for row in table for cell in row))
    whole = [[cell // 1 for cell in row] for row in table]
    rest = {
        (i, len(table) + j): int(cell % 1 * unit)
        for i, row in enumerate(table)
        for j, cell in enumerate(row)
        if cell % 1
    }
    near: list[dict[int, None]] = [{} for _ in range(len(table) + len(balance))]
    for i, j in rest:
        near[i][j] = near[j][i] = None
    for row in range(len(table)):
        while near[row]:
            cycle = _cycle(near, row)
            edges = [(min(edge), max(edge)) for edge in pairwise([*cycle, cycle[0]])]
            gain = min(*(unit - rest[edge] for edge in edges[::2]), *(rest[edge] for edge in edges[1::2]))
            loss = min(*(rest[edge] for edge in edges[::2]), *(unit - rest[edge] for edge in edges[1::2]))
            change = gain if gain <= loss else -loss
            for n, (i, j) in enumerate(edges):
                rest[i, j] += change if n % 2 == 0 else -change
                if rest[i, j] % unit == 0:
                    whole[i][j - len(table)] += rest[i, j] // unit
                    del near[i][j], near[j][i]
    return whole[:-1]


def _cycle(near: Sequence[dict[int, None]], start: int) -> list[int]:
    """The places of a cycle, in a graph each of whose places has no neighbour or two at least."""
    path, places, before = [start], {start: 0}, -1
    while True:
        here = path[-1]
        step = next(place for place in near[here] if place != before)
        if step in places:
            return path[places[step] :]
        before, places[step] = here, len(path)
        path.append(step)


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
