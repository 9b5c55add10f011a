"""One shard's chosen documents, as Parquet in the store, and the account of all its documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.cached import find_or_make, load_or_make
from dsir_core.checkpoints.kinds import OVERVIEW, SELECTION
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.corpus.tally import Tally
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.keys import Chooser, Cut, View
from dsir_core.resampling.overview import Overview, Scale, overview_of
from dsir_core.resampling.radix import keys_of_bits
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import by_stratum, read_rows
from dsir_core.resampling.weights_schema import FILE_TYPE, OFFSET, STRATUM, odds_column
from dsir_core.shards.task import ShardTask

ODDS = odds_column("log_weight")


def selection_schema(*, offset: bool, stratum: bool, odds: bool = False) -> pa.Schema:
    """Schema of `selected.parquet`: `log_weight` and `key` are those of the target that chose the document.

    Args:
        offset: whether documents are cut into chunks. stratum: whether they have strata. odds: whether a classifier
            decides, whose `log_odds` for that target are wanted.
    """
    return pa.schema(
        [
            ("file", FILE_TYPE),
            ("position", pa.int64()),
            *([(OFFSET, pa.int64())] if offset else []),
            ("n_tokens", pa.int32()),
            ("log_weight", pa.float64()),
            *([(ODDS, pa.float64())] if odds else []),
            ("key", pa.float64()),
            ("target", pa.dictionary(pa.int32(), pa.string())),
            *([(STRATUM, FILE_TYPE)] if stratum else []),
        ]
    )


def cut_values(cut: Cut) -> list[Any]:
    """What a cut's choice depends on, as plain JSON."""
    ranking, pool = cut.ranking, cut.ranking.pool
    scaling = [ranking.spread.temperature, ranking.spread.length, ranking.spread.typical]
    return [ranking.method, ranking.seed, ranking.target, ranking.column, *scaling, pool.stratum, pool.nearest,
            cut.bits, cut.ties]  # fmt: skip


@dataclass(frozen=True)
class SelectTask(ShardTask):
    """One shard in which to mark the chosen documents."""

    kind = SELECTION
    weights: Receipt
    selectors: tuple[str, ...]
    """Who chooses, by index of the target."""
    cuts: tuple[Cut, ...]
    top_k: tuple[Cut, ...]
    """The cuts that plain top-k of the same sizes would make, for the overlap."""
    min_tokens: int
    schema: pa.Schema
    scales: tuple[Scale, ...]
    """Of the overview's histograms."""

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`; the scales are no part of it: a new section of the report leaves selections as they are."""
        return {
            "weights": self.weights.sha256,
            "names": self.selectors,
            "cuts": [[cut_values(cut) for cut in side] for side in (self.cuts, self.top_k)],
            "min_tokens": self.min_tokens,
        }

    @property
    def overview_key(self) -> str:
        """Key of the checkpoint that holds the overview."""
        return OVERVIEW.key({"selection": self.key, "scales": [asdict(scale) for scale in self.scales]})


@dataclass
class Account:
    """What became of a shard's documents."""

    documents: int = 0
    eligible: int = 0
    eligible_tokens: int = 0
    selected: dict[str, int] = field(default_factory=dict)
    """Documents by who chose them."""
    selected_tokens: dict[str, int] = field(default_factory=dict)
    overlap: int = 0
    """Chosen documents that plain top-k would have chosen too."""
    weights: dict[str, WeightSums] = field(default_factory=dict)
    """By log-weight column, over the eligible documents."""
    strata: dict[str, list[int]] = field(default_factory=dict)
    """By stratum: documents, eligible ones, chosen ones, and the chosen ones' tokens."""

    @property
    def n_selected(self) -> int:
        """Chosen documents."""
        return sum(self.selected.values())

    def merge(self, other: Account) -> None:
        """Add another account to this one."""
        self.documents += other.documents
        self.eligible += other.eligible
        self.eligible_tokens += other.eligible_tokens
        self.overlap += other.overlap
        for name, n in other.selected.items():
            self.selected[name] = self.selected.get(name, 0) + n
        for name, n in other.selected_tokens.items():
            self.selected_tokens[name] = self.selected_tokens.get(name, 0) + n
        for name, counts in other.strata.items():
            before = self.strata.get(name, [0] * len(counts))
            self.strata[name] = [a + b for a, b in zip(before, counts, strict=True)]
        for column, sums in other.weights.items():
            self.weights[column] = self.weights.get(column, WeightSums()).merge(sums)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dict(vars(self))
        return {**values, "weights": {column: vars(sums) for column, sums in self.weights.items() if sums.n}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Account:
        """Inverse of `to_json`."""
        return cls(**{**value, "weights": {column: WeightSums(**sums) for column, sums in value["weights"].items()}})


@dataclass(frozen=True)
class SelectResult:
    """Where one shard's chosen documents lie."""

    receipt: Receipt
    account: Account
    overview: Overview
    reused: bool
    seconds: float

    @property
    def tally(self) -> Tally:
        """For the observer: the documents looked at."""
        return Tally(documents=self.account.documents)


def select_shard(task: SelectTask) -> SelectResult:
    """Write the chosen documents of a shard and their overview, or take what is there.

    An overview that is missing is tallied anew from the weights; the selection is left as it is.
    """
    store = Store(task.workdir)
    account, overview = Account(), Overview()
    selected = _selected(store, task, account, overview)

    def write_selection(draft: Draft) -> Account:
        with pq.ParquetWriter(draft.stream, task.schema, compression="zstd", write_page_checksum=True) as writer:
            for table in selected:
                writer.write_table(table)
        draft.summary["account"] = account.to_json()
        return account

    def write_overview(draft: Draft) -> Overview:
        for _ in selected:  # none is left where the selection has just been written
            pass
        draft.stream.write(json.dumps(overview.to_json()).encode())
        return overview

    selection = find_or_make(
        store, SELECTION, task.key, lambda receipt: Account.from_json(receipt.summary["account"]), write_selection
    )
    shown = load_or_make(
        store, OVERVIEW, task.overview_key, lambda _, data: Overview.from_json(json.loads(data)), write_overview
    )
    return SelectResult(
        selection.receipt,
        selection.value,
        shown.value,
        selection.reused and shown.reused,
        selection.seconds + shown.seconds,
    )


def _selected(store: Store, task: SelectTask, account: Account, overview: Overview) -> Iterator[pa.Table]:
    """Chosen documents, while all documents are added to `account` and `overview`."""
    rankings = [cut.ranking for cut in (*task.cuts, *task.top_k)]
    # A target that takes nothing has no ranking, but its weights are shown.
    spreads = {ranking.column: ranking.spread for ranking in rankings}
    spreads |= {scale.column: scale.spread for scale in task.scales}
    columns = tuple(dict.fromkeys([*(column for ranking in rankings for column in ranking.columns), *spreads]))
    chooser, top_k = Chooser(task.cuts, task.min_tokens), Chooser(task.top_k, task.min_tokens)
    target_of = np.array([cut.ranking.target for cut in task.cuts] + [-1], np.int32)
    for rows in read_rows(store, task.weights.name, columns):
        view = View(rows, task.min_tokens)
        chosen = chooser.choose(view)
        account.merge(_account(task, view, target_of[chosen], top_k.choose(view), spreads))
        overview.merge(overview_of(view, chosen, task.cuts, task.selectors, task.scales))
        if (chosen >= 0).any():
            yield _selection_table(task, view, chosen)


def _account(
    task: SelectTask, view: View, targets: np.ndarray, top_k: np.ndarray, spreads: Mapping[str, WeightScaling]
) -> Account:
    """What became of some documents: targets int32[n], who has chosen each, or -1; top_k likewise by cut."""
    rows, eligible, chosen = view.rows, view.eligible, targets >= 0
    by_target = {name: targets == i for i, name in enumerate(task.selectors)}
    columns = [by_stratum(rows, mask) for mask in (np.ones(len(rows), bool), eligible, chosen)]
    return Account(
        documents=len(rows),
        eligible=int(eligible.sum()),
        eligible_tokens=int(rows.n_tokens[eligible].sum(dtype=np.int64)),
        selected={name: int(mine.sum()) for name, mine in by_target.items()},
        selected_tokens={name: int(rows.n_tokens[mine].sum(dtype=np.int64)) for name, mine in by_target.items()},
        overlap=int((chosen & (top_k >= 0)).sum()),
        weights={
            column: WeightSums.of(spread.scaled(rows.log_weights[column], rows.n_tokens)[eligible])
            for column, spread in spreads.items()
        },
        strata={
            name: [documents, n_eligible, n_chosen, n_tokens]
            for (name, documents, _), (_, n_eligible, _), (_, n_chosen, n_tokens) in zip(*columns, strict=True)
        },
    )


def _selection_table(task: SelectTask, view: View, chosen: np.ndarray) -> pa.Table:
    rows = view.rows
    which = np.flatnonzero(chosen >= 0)
    log_weight, log_odds, key = (np.empty(len(rows)) for _ in range(3))
    target = np.empty(len(rows), np.int32)
    for index, cut in enumerate(task.cuts):
        mine = chosen == index
        if mine.any():
            log_weight[mine] = rows.log_weights[cut.ranking.column][mine]
            if ODDS in task.schema.names:
                log_odds[mine] = rows.log_weights[odds_column(cut.ranking.column)][mine]
            key[mine] = keys_of_bits(view.bits(cut.ranking)[mine])
            target[mine] = cut.ranking.target
    columns = {
        "file": pa.DictionaryArray.from_arrays(rows.file_codes[which], rows.files),
        "position": pa.array(rows.positions[which]),
        "n_tokens": pa.array(rows.n_tokens[which]),
        "log_weight": pa.array(log_weight[which]),
        ODDS: pa.array(log_odds[which]),
        "key": pa.array(key[which]),
        "target": pa.DictionaryArray.from_arrays(target[which], list(task.selectors)),
    }
    if rows.offsets is not None:
        columns[OFFSET] = pa.array(rows.offsets[which])
    if rows.stratum_codes is not None:
        columns[STRATUM] = pa.DictionaryArray.from_arrays(rows.stratum_codes[which], list(rows.strata))
    return pa.Table.from_arrays([columns[name] for name in task.schema.names], schema=task.schema)
