"""Items that are made when asked for; a watched reduction tells what happened on the way to each of its leaves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dsir_core.config.storage import StorageSettings
from dsir_core.runtime.events import Event, PassAdvances, PassBegins
from dsir_core.runtime.executor import FAN_IN, InlineExecutor, LazySequence, Tree, WatchedExecutor
from dsir_core.storage.connect import connect
from dsir_core.storage.retries import Effects, warn


def test_made_items_are_a_sequence() -> None:
    made = LazySequence(5, lambda index: index * 10)
    assert (len(made), list(made), made[-1], made[1:4:2]) == (5, [0, 10, 20, 30, 40], 40, [10, 30])
    with pytest.raises(IndexError):
        made[5]


def test_made_items_are_not_made_before_they_are_asked_for() -> None:
    asked: list[int] = []
    made = LazySequence(10**9, lambda index: asked.append(index))
    made[7]
    assert asked == [7]


@pytest.mark.parametrize("n", [1, FAN_IN - 1, FAN_IN, 5 * FAN_IN + 3, FAN_IN**3 + 1])
def test_a_tree_joins_all_leaves_in_order_and_few_at_once(n: int) -> None:
    sizes: list[int] = []

    def join(nodes: Sequence[list[int]]) -> list[int]:
        sizes.append(len(nodes))
        return [leaf for node in nodes for leaf in node]

    tree = Tree(join)
    for leaf in range(n):
        tree.add([leaf])
    assert tree.root() == list(range(n))
    assert all(2 <= size <= FAN_IN for size in sizes)


def warn_and_add(item: int) -> int:
    warn(f"item {item}, anonymous: {connect('s3://bucket/file')[0].anon}")
    return item


def add(parts: Sequence[int]) -> int:
    return sum(parts)


@pytest.mark.parametrize("n", [1, 20])
def test_a_watched_reduction_reaches_storage_as_the_run_says_and_tells_all_effects(n: int) -> None:
    told: list[Effects] = []
    seen: list[Event] = []
    executor = WatchedExecutor(InlineExecutor(), StorageSettings(s3_anonymous=True), told.append, seen.append)
    assert executor.reduce(warn_and_add, range(n), add, name="resample") == sum(range(n))
    assert seen == [PassBegins("resample", n), *[PassAdvances("resample")] * n]
    (effects,) = told
    assert effects.warnings == [f"item {item}, anonymous: True" for item in range(n)]
