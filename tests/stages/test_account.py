"""A report is written only where every record that was read is accounted for, in each shard and in total."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import FileRange, Shard, SourceFile
from dsir_core.errors import RunFailedError
from dsir_core.shards.select import Account
from dsir_core.stages.report import _documents

TALLIES = (Tally(documents=10, bad=2, excluded=3), Tally(documents=20, bad=1, excluded=0))
MARKS = (
    SimpleNamespace(documents=10, eligible=8, n_selected=4),
    SimpleNamespace(documents=20, eligible=12, n_selected=12),
)


def documents(
    *,
    account: Account | None = None,
    marks: tuple[Any, ...] = MARKS,
    copies: int = 3,
    in_target: int = 2,
    chunk: object = None,
) -> dict[str, int]:
    tally = Tally()
    for one in TALLIES:
        tally.merge(one)
    file = SourceFile("a.jsonl", "/x/a.jsonl", 6, "v", "jsonl", "")
    scores: Any = SimpleNamespace(
        tally=tally,
        copies=copies,
        in_target=in_target,
        shards=[Shard(index, (FileRange(file, 3 * index, 3 * index + 3),), 3) for index in (0, 1)],
        results=[SimpleNamespace(tally=one) for one in TALLIES],
    )
    sample: Any = SimpleNamespace(
        account=account or Account(documents=30, eligible=20, selected={"a": 9, "b": 7}), marks=marks
    )
    run: Any = SimpleNamespace(config=SimpleNamespace(chunk=chunk))
    written: Any = SimpleNamespace(parts=[SimpleNamespace(documents=n) for n in (5, 6)])
    found: dict[str, int] = _documents(run, scores, sample, written)
    return found


def test_records_are_selected_rejected_ineligible_copies_excluded_or_bad() -> None:
    assert documents() == {
        "raw": 36, "readable": 33, "eligible": 20, "selected": 16, "rejected": 4, "ineligible": 5,
        "copies": 3, "target_copies": 2, "excluded": 3, "bad": 3,
    }  # fmt: skip
    chunks = documents(chunk=object())
    assert (chunks["whole"], chunks["written"]) == (0, 11)


@pytest.mark.parametrize(
    "mark",
    [
        SimpleNamespace(documents=9, eligible=8, n_selected=4),
        SimpleNamespace(documents=11, eligible=8, n_selected=4),
        SimpleNamespace(documents=10, eligible=8, n_selected=9),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_shard_that_loses_or_doubles_a_document_fails_the_run_and_is_named(mark: Any, place: int) -> None:
    other = SimpleNamespace(documents=mark.documents + 10, eligible=12, n_selected=mark.n_selected + 4)
    marks = (mark, MARKS[1]) if place == 0 else (MARKS[0], other)
    with pytest.raises(RunFailedError, match=r"a\.jsonl.*records read, but not all accounted for"):
        documents(marks=marks)


@pytest.mark.parametrize("n", [29, 31])
def test_totals_that_differ_fail_the_run(n: int) -> None:
    with pytest.raises(RunFailedError, match=f"36 records read, but {n + 6} accounted for"):
        documents(account=Account(documents=n, eligible=20, selected={"a": 16}))


def test_copies_that_are_not_eligible_fail_the_run() -> None:
    with pytest.raises(RunFailedError, match="11 copies are marked"):
        documents(copies=6, in_target=5)
    assert documents(copies=5, in_target=5)["ineligible"] == 0
