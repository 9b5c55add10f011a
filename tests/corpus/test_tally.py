"""Every record that is read is counted once, and counts of shards add up in any order."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.corpus.tally import Quarantine, Tally
from dsir_core.corpus.types import BadRecord, Batch

BAD = st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.sampled_from(["not JSON: a", "no text", "not UTF-8"]))


def tally_of(bad: list[tuple[str, int, str]], documents: int) -> Tally:
    tally = Tally(documents, tokens=3 * documents, n_bytes=5 * documents, excluded=1, duplicate_keys=2)
    for record in bad:
        tally.add_bad(BadRecord(*record))
        tally.add_unscored(*record)
    tally.add_stratum("x", documents, 3 * documents)
    return tally


@given(st.lists(BAD, max_size=20), st.integers(0, 9))
def test_counts_are_those_of_a_loop_and_survive_json(bad: list[tuple[str, int, str]], documents: int) -> None:
    tally = tally_of(bad, documents)
    reasons = [reason.partition(":")[0] for _, _, reason in bad]
    assert (tally.bad, tally.records) == (len(bad), len(bad) + documents + 1)
    assert tally.reasons == {reason: reasons.count(reason) for reason in reasons}
    assert tally.first_bad == [BadRecord(*record) for record in bad[:5]]
    assert tally.signature == (documents, len(bad), 1, 3 * documents)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally
    assert tally.compact().signature == tally.signature


@given(st.lists(st.tuples(st.lists(BAD, max_size=7, unique_by=lambda bad: bad[:2]), st.integers(0, 9)), max_size=3))
def test_shards_add_up_in_any_order(shards: list[tuple[list[tuple[str, int, str]], int]]) -> None:
    totals = []
    for order in permutations(shards):
        total = Tally()
        for bad, documents in order:
            total.merge(tally_of(sorted(bad), documents))
        totals.append(total)
    assert all(total.signature == totals[0].signature for total in totals)
    assert all((total.reasons, total.strata) == (totals[0].reasons, totals[0].strata) for total in totals)
    every = {record[:2] for bad, _ in shards for record in bad}
    named = [[(bad.path, bad.position) for bad in total.first_bad] for total in totals]
    assert all(each == named[0] for each in named)
    assert set(named[0]) <= every
    assert totals[0].bad == sum(len(bad) for bad, _ in shards)


def test_a_quarantine_passes_batches_on_and_lists_what_is_bad_without_its_content() -> None:
    empty = np.zeros(0, np.uint8)
    batches = [
        Batch(
            np.array([0, 0, 1, 9]),
            empty,
            np.zeros(5, np.int64),
            [BadRecord("a", 5, "not JSON")],
            n_bytes=20,
            excluded=2,
        ),
        Batch(np.array([], np.int64), empty, np.zeros(1, np.int64), [BadRecord("é", 30, "no text")], n_bytes=7),
    ]
    quarantine, tally, stream = Quarantine(), Tally(), io.BytesIO()
    assert list(quarantine.watch(iter(batches), tally)) == batches
    quarantine.copy_to(stream)
    quarantine.close()
    assert (tally.documents, tally.parents, tally.bad, tally.excluded, tally.n_bytes) == (4, 3, 2, 2, 27)
    assert "é" in stream.getvalue().decode()
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"path": "a", "position": 5, "reason": "not JSON"},
        {"path": "é", "position": 30, "reason": "no text"},
    ]
    with pytest.raises(ValueError, match="closed"):
        quarantine.copy_to(io.BytesIO())


def test_all_counts_of_two_tallies_add_up() -> None:
    numbers = [field.name for field in fields(Tally) if field.type == "int"]
    assert len(numbers) == 8
    one, other = (Tally(**{name: n * (i + 1) for i, name in enumerate(numbers)}) for n in (1, 100))
    one.add_stratum("x", 1, 2)
    other.add_stratum("x", 30, 40)
    other.add_stratum("y", 5, 6)
    one.add_stratum("x", 3, 4)
    assert one.strata == {"x": [4, 6]}
    total = Tally()
    for tally in (one, other):
        total.merge(tally)
    assert {name: getattr(total, name) for name in numbers} == {name: 101 * (i + 1) for i, name in enumerate(numbers)}
    assert total.strata == {"x": [34, 46], "y": [5, 6]}
    assert total.records == total.documents + total.bad + total.excluded
    assert total.compact() == Tally(total.documents, total.bad, total.tokens, total.n_bytes, excluded=total.excluded)
    assert [getattr(Tally(), name) for name in numbers] == [0] * 8


def test_of_records_that_are_left_out_the_first_five_are_kept_when_shards_are_added() -> None:
    total = Tally()
    for positions in ((5, 6, 7, 8, 9, 10), (1, 2, 3)):
        shard = Tally()
        for position in positions:
            shard.add_bad(BadRecord("a", position, "no text"))
            shard.add_unscored("a", position, "no key")
        assert len(shard.first_bad) == len(shard.first_unscored) == min(5, len(positions))
        total.merge(shard)
    assert [bad.position for bad in total.first_bad] == [1, 2, 3, 5, 6]
    assert [bad.position for bad in total.first_unscored] == [1, 2, 3, 5, 6]
    assert (total.reasons, total.unscored) == ({"no text": 9}, {"no key": 9})
