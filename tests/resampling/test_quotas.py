"""Sizes divided among strata: in proportion, as far as each has documents, and nothing lost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from dsir_core.digests import digest
from dsir_core.resampling.quotas import allocate, divide, divide_table, fill

SHARES = st.lists(st.floats(0, 10) | st.sampled_from([0.0, 1.0, 1 / 3]), min_size=1, max_size=6).filter(any)


@given(st.integers(0, 10**12), SHARES)
def test_a_size_is_divided_whole_and_in_proportion(size: int, shares: list[float]) -> None:
    parts = divide(size, shares)
    assert sum(parts) == size
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - size * share / sum(shares)) < 1 + 1e-9 * size


@given(st.integers(0, 300), SHARES, st.data())
def test_what_a_stratum_lacks_goes_to_the_others_by_their_shares(
    size: int, shares: list[float], data: st.DataObject
) -> None:
    available = data.draw(st.lists(st.integers(0, 100), min_size=len(shares), max_size=len(shares)))
    amounts = allocate(size, shares, available)
    able = sum(room for room, share in zip(available, shares, strict=True) if share > 0)
    assert sum(amounts) == min(size, able)
    assert all(0 <= amount <= room for amount, room in zip(amounts, available, strict=True))
    assert not any(amount for amount, share in zip(amounts, shares, strict=True) if share == 0)
    free = [i for i in range(len(shares)) if amounts[i] < available[i] and shares[i] > 0]
    for i in free:
        for j in free:
            # Those that are not exhausted stand to each other as their shares, but for rounding.
            assert abs(amounts[i] * shares[j] - amounts[j] * shares[i]) <= shares[i] + shares[j] + 1e-6


@given(st.integers(0, 10**9), SHARES)
def test_a_share_of_nothing_gets_nothing(size: int, shares: list[float]) -> None:
    assert not any(n for n, share in zip(divide(size, shares), shares, strict=True) if share == 0)


def test_shares_in_decimals_lose_no_document() -> None:
    assert divide(100, (0.29, 0.71)) == [29, 71]


@given(st.integers(1, 10**6), st.lists(SHARES, min_size=1, max_size=5), st.data())
def test_a_table_meets_both_margins_and_every_cell_is_its_exact_share_up_or_down(
    size: int, shares: list[list[float]], data: st.DataObject
) -> None:
    width = max(map(len, shares))
    table = [row + [0.0] * (width - len(row)) for row in shares]
    if data.draw(st.booleans()):
        table = [table[0]] * len(table)
    check_table(divide(size, [row[0] + 1 for row in shares]), table)


def test_tables_of_small_numbers_meet_both_margins() -> None:
    """Many cells are not whole here, and of many sizes: what one cell of a cycle can gain others cannot lose."""
    rng = random.Random(0)
    found = []
    for _ in range(200):
        n_rows, n_columns = rng.randint(2, 5), rng.randint(2, 6)
        table = [[rng.randint(0, 9) for _ in range(n_columns - 1)] + [1] for _ in range(n_rows)]
        found.append(check_table([rng.randint(0, 20) for _ in range(n_rows)], table))
    # Another digest means that quotas of several targets select other documents than before.
    assert digest(found) == "d04d8dadac0b4eff6e221e264e8984fdb9dd706fb90f10fbf02d912d3eb25f33"


def check_table(rows: Sequence[int], table: Sequence[Sequence[float]]) -> list[list[int]]:
    found = divide_table(rows, table)
    assert [sum(row) for row in found] == rows
    whole = [Fraction(sum(map(Fraction, row))) for row in table]
    exact = [[n * Fraction(share) / total for share in row] for n, row, total in zip(rows, table, whole, strict=True)]
    columns = [sum(column) for column in zip(*exact, strict=True)]
    if all(row == table[0] for row in table):
        # Strata are settled first: the same as for one target.
        size = sum(rows)
        columns = [Fraction(n) for n in divide(size, table[0])]
        exact = [[n * column / size for column in columns] for n in rows]
    for cells, ideal in zip(found, exact, strict=True):
        assert all(floor(share) <= n <= ceil(share) for n, share in zip(cells, ideal, strict=True))
    for column, ideal in zip(zip(*found, strict=True), columns, strict=True):
        assert floor(ideal) <= sum(column) <= ceil(ideal)
    return found


def test_targets_share_strata_so_that_each_stratum_is_full() -> None:
    assert divide_table([1, 1], [[1, 1], [1, 1]]) in ([[1, 0], [0, 1]], [[0, 1], [1, 0]])
    assert divide_table([0, 3], [[1, 2], [1, 2]]) == [[0, 0], [1, 2]]
    assert divide_table([7], [[1, 1, 1]]) == [divide(7, [1, 1, 1])]
    assert divide_table([0, 1], [[1, 2], [1, 2]]) == [[0, 0], [0, 1]]
    assert divide_table([0, 0], [[1, 2], [1, 2]]) == [[0, 0], [0, 0]]


def test_equal_remainders_go_to_the_first() -> None:
    assert divide(5, [1, 1, 1]) == [2, 2, 1]
    assert allocate(10, [1, 1, 2], [1, 100, 100]) == [1, 3, 6]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.1, 10), st.integers(0, 80)), min_size=1, max_size=6))
def test_what_is_wanted_of_a_stratum_comes_from_it_as_far_as_it_has_that(strata: list[tuple[int, float, int]]) -> None:
    wanted, shares, available = zip(*strata, strict=True)
    amounts = fill(wanted, shares, available)
    assert sum(amounts) == min(sum(wanted), sum(available))
    for n, has, amount in zip(wanted, available, amounts, strict=True):
        assert min(n, has) <= amount <= has
