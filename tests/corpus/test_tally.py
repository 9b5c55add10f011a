"""Every record that is read is counted once, and counts of shards add up in any order."""

from __future__ import annotations

import io
import json
from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.corpus.tally import N_EXAMPLES, Quarantine, Tally
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
    assert tally.first_bad == [BadRecord(*record) for record in bad[:N_EXAMPLES]]
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
            np.array([0, 0, 9]), empty, np.zeros(4, np.int64), [BadRecord("a", 5, "not JSON")], n_bytes=20, excluded=2
        ),
        Batch(np.array([], np.int64), empty, np.zeros(1, np.int64), [BadRecord("é", 30, "no text")], n_bytes=7),
    ]
    quarantine, tally, stream = Quarantine(), Tally(), io.BytesIO()
    assert list(quarantine.watch(iter(batches), tally)) == batches
    quarantine.copy_to(stream)
    quarantine.close()
    assert (tally.documents, tally.parents, tally.bad, tally.excluded, tally.n_bytes) == (3, 2, 2, 2, 27)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"path": "a", "position": 5, "reason": "not JSON"},
        {"path": "é", "position": 30, "reason": "no text"},
    ]
