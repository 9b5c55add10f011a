"""Of a shard the documents above the cut are written, and every document is accounted for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.shards.select import SelectTask, select_shard, selection_schema
from tests.shards.weighed import LOG_WEIGHTS, MIN_TOKENS, POSITIONS, TOKENS, chosen_by, cut, write_weights

SCHEMA = selection_schema(offset=False, stratum=False)


def task(folder: Path, threshold: float, ties: int, plain: float = 2.0) -> SelectTask:
    weights = write_weights(Store(str(folder)), "a.jsonl")
    return SelectTask(
        str(folder), weights, ("target",), (cut(threshold, ties),), (cut(plain),), MIN_TOKENS, SCHEMA, scales=()
    )


@pytest.mark.parametrize(("threshold", "ties"), [(3.0, 0), (3.0, 2), (3.0, 9), (2.0, 1), (-9.0, 0), (9.0, 0)])
def test_what_lies_above_the_cut_is_written_in_order(tmp_path: Path, threshold: float, ties: int) -> None:
    result = select_shard(task(tmp_path, threshold, ties))
    expected = chosen_by(threshold, ties)
    rows = pq.read_table(tmp_path / result.receipt.name).to_pylist()
    assert rows == [
        {
            "file": "a.jsonl",
            "position": POSITIONS[i],
            "n_tokens": TOKENS[i],
            "log_weight": LOG_WEIGHTS[i],
            "key": LOG_WEIGHTS[i],
            "target": "target",
        }
        for i in expected
    ]
    account = result.account
    assert (account.documents, account.eligible, account.n_selected) == (12, len(chosen_by(-9.0, 0)), len(expected))
    assert account.selected_tokens == {"target": sum(TOKENS[i] for i in expected)}
    assert account.overlap == len(set(expected) & set(chosen_by(2.0, 0)))


def test_a_selection_is_reused_and_its_overview_is_made_again(tmp_path: Path) -> None:
    first = select_shard(task(tmp_path, 2.0, 1))
    again = select_shard(task(tmp_path, 2.0, 1))
    assert (first.reused, again.reused) == (False, True)
    assert (again.receipt, again.account) == (first.receipt, first.account)
    assert again.overview.to_json() == first.overview.to_json()
    for path in (tmp_path / "overview").iterdir():
        path.unlink()
    written = (tmp_path / first.receipt.name).stat().st_mtime_ns
    shown = select_shard(task(tmp_path, 2.0, 1))
    assert (shown.reused, shown.account) == (False, first.account)
    assert shown.overview.to_json() == first.overview.to_json()
    assert (tmp_path / first.receipt.name).stat().st_mtime_ns == written


def test_a_damaged_selection_is_made_again(tmp_path: Path) -> None:
    first = select_shard(task(tmp_path, 2.0, 1))
    whole = (tmp_path / first.receipt.name).read_bytes()
    (tmp_path / first.receipt.name).write_bytes(b"x" * len(whole))
    again = select_shard(task(tmp_path, 2.0, 1))
    assert (again.reused, again.account) == (False, first.account)
    assert again.overview.to_json() == first.overview.to_json()
    assert (tmp_path / first.receipt.name).read_bytes() == whole
