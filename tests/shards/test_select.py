"""Of a shard the documents above the cut are written, and every document is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dsir_core.checkpoints.store import Store
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.overview import Scale
from dsir_core.resampling.scaling import REFERENCE
from dsir_core.shards.select import Account, SelectTask, select_shard, selection_schema
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


def test_accounts_of_shards_add_up() -> None:
    one, other = (
        Account(n, n + 1, n + 2, {"a": n + 3}, {"a": n + 4}, n + 5, {"log_weight": WeightSums.of(np.zeros(n))},
                {"x": [n, n + 1, n + 2, n + 3]})
        for n in (10, 200)
    )  # fmt: skip
    other.selected["b"], other.selected_tokens["b"], other.strata["y"] = 7, 8, [1, 2, 3, 4]
    total = Account()
    for account in (one, other):
        total.merge(Account.from_json(json.loads(json.dumps(account.to_json()))))
    assert total == Account(
        210, 212, 214, {"a": 216, "b": 7}, {"a": 218, "b": 8}, 220, {"log_weight": WeightSums(210, 0.0, 210.0, 210.0)},
        {"x": [210, 212, 214, 216], "y": [1, 2, 3, 4]},
    )  # fmt: skip
    assert total.n_selected == 223
    assert Account() == Account(0, 0, 0, {}, {}, 0, {}, {})


def test_every_document_may_be_chosen(tmp_path: Path) -> None:
    weights = write_weights(Store(str(tmp_path)), "a.jsonl", [1.0] * 12)
    scale = Scale.over("target", "log_weight", REFERENCE, {"0.05": 1.0, "1": 1.0}, np.array([1.0]))
    asked = SelectTask(str(tmp_path), weights, ("target",), (cut(0.0),), (cut(0.0),), 0, SCHEMA, (scale,))
    result = select_shard(asked)
    assert pq.read_table(tmp_path / result.receipt.name)["position"].to_pylist() == POSITIONS.tolist()
    account = result.account
    assert (account.eligible, account.eligible_tokens, account.n_selected, account.overlap) == (12, sum(TOKENS), 12, 12)
    assert account.weights == {"log_weight": WeightSums.of(np.ones(12))}
    assert result.overview.lengths.sum(axis=1).tolist() == [12, 12, 12]
    assert result.overview.files["a.jsonl"].tolist() == [12, 12, 12]
    assert 0 < result.seconds < 60


def test_a_byte_of_a_page_that_changes_is_noticed(tmp_path: Path) -> None:
    name = select_shard(task(tmp_path, 2.0, 1)).receipt.name
    column = pq.ParquetFile(tmp_path / name).metadata.row_group(0).column(1)
    data = bytearray((tmp_path / name).read_bytes())
    begin = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
    data[begin + column.total_compressed_size - 3] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(OSError, match=r"checksum|CRC"):
        pq.ParquetFile(tmp_path / name, page_checksum_verification=True).read()
