"""Sizes divided among strata: in proportion, as far as each has documents, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsir_core.resampling.quotas import allocate, divide, fill

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
