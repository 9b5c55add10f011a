"""Small items share a future, large ones do not, and nobody can tell from the outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from distributed import Client, Future
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.checkpoints.kinds import COUNTS
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.shards.task import ShardTask
from tasks.batching import BATCH_BYTES, BATCH_SECONDS, MAX_BATCH, Batches
from tasks.executor import DaskExecutor
from tasks.locality import Places
from tests.tasks.functions import fail_on_odd, refuse_five


@dataclass(frozen=True)
class Sized(ShardTask):
    kind = COUNTS
    n_bytes: int = 0

    @property
    def depends(self) -> dict[str, int]:
        return {"bytes": self.n_bytes}


class Nowhere(Places):
    """Nothing is kept anywhere."""

    def __init__(self) -> None:
        self._workers = {}


SECONDS = st.floats(min_value=0, max_value=10)
SIZES = st.lists(st.integers(0, BATCH_BYTES * 2), max_size=300)


@given(SIZES, SECONDS, st.integers(1, 20))
def test_every_item_is_in_one_batch_and_no_batch_is_too_large(sizes: list[int], seconds: float, threads: int) -> None:
    batches = Batches([Sized("", size) for size in sizes], Nowhere())
    taken: list[tuple[int, ...]] = []
    while batches:
        taken.append(batches.take(threads))
        batches.measured(seconds, 1)
    assert [index for batch in taken for index in batch] == list(range(len(sizes)))
    for batch in taken:
        assert len(batch) <= MAX_BATCH
        assert sum(sizes[index] for index in batch[:-1]) <= BATCH_BYTES
        if len(batch) > 1:
            assert len(batch) * seconds <= BATCH_SECONDS + 1e-9


def test_items_that_run_again_go_out_by_themselves() -> None:
    batches = Batches(list(range(1000)), Nowhere())
    batches.take(1)
    batches.measured(0.001, 1)
    batch = batches.take(1)
    assert len(batch) == MAX_BATCH
    batches.run_again(batch[-2:])
    assert [batches.take(1), batches.take(1)] == [(batch[-2],), (batch[-1],)]


def fail_on_odd_above_900(x: int) -> int:
    return fail_on_odd(x) if x > 900 else x


def refuse_above_500(x: int) -> int:
    return refuse_five(5 if x > 500 else 0)


def test_many_small_items_share_few_futures_and_each_has_its_own_outcome(
    threads: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    submit = threads.submit
    monkeypatch.setattr(threads, "submit", lambda *a, key, **o: keys.append(key) or submit(*a, key=key, **o))
    outcomes = {o.index: o for o in DaskExecutor(threads).map(fail_on_odd_above_900, range(1000), name="count")}
    assert sorted(outcomes) == list(range(1000))
    assert {i for i, o in outcomes.items() if o.error is not None} == set(range(901, 1000, 2))
    assert all(
        isinstance(o.error, DamagedFileError) and f"file-{i}" in str(o.error) for i, o in outcomes.items() if o.error
    )
    assert all(o.result == i for i, o in outcomes.items() if o.error is None)
    assert len(keys) < 400


def size_of(item: Sized) -> int:
    return item.n_bytes


def test_large_shards_behind_small_ones_do_not_share_a_future(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    submit = threads.submit

    def counting(function: Any, inner: Any, items: Any, **options: Any) -> Future[Any]:
        batches.append(sum(item.n_bytes for item in items) if len(items) > 1 else 0)
        return submit(function, inner, items, **options)

    monkeypatch.setattr(threads, "submit", counting)
    items = [Sized("", 10 if i < 500 else 10 * 2**20) for i in range(600)]
    assert len(list(DaskExecutor(threads).map(size_of, items, name="count"))) == 600
    assert max(batches) <= 30 * 2**20


def test_a_wrong_request_behind_others_in_one_future_ends_the_map(threads: Client) -> None:
    with pytest.raises(RequestError, match="no field named body"):
        list(DaskExecutor(threads).map(refuse_above_500, range(1000), name="count"))
