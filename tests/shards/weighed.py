"""A small shard of documents with weights of our own choice, and cuts through them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.kinds import WEIGHTS
from dsir_core.checkpoints.receipts import Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import Shard
from dsir_core.resampling.keys import Cut, Ranking
from dsir_core.resampling.radix import order_bits
from dsir_core.resampling.weights_schema import weights_batch, weights_schema

LINES = [json.dumps({"text": " ".join(["word", str(i)] * (i + 1)), "n": i}) for i in range(12)]
POSITIONS = np.cumsum([0, *(len(line) + 1 for line in LINES)])[:-1]
TOKENS = [2 * (i + 1) for i in range(12)]
LOG_WEIGHTS = [0.5, 3.0, -1.0, 3.0, 2.0, float("nan"), 3.0, -4.0, 1.0, 0.0, 2.5, 3.0]
MIN_TOKENS = 4


def write_shard(folder: Path) -> Shard:
    path = folder / "raw.jsonl"
    path.write_text("\n".join([*LINES, ""]))
    (shard,) = plan_shards(list_corpus([str(path)]).files)
    return shard


def write_weights(store: Store, path: str, log_weights: list[float] = LOG_WEIGHTS) -> Receipt:
    columns = np.array(log_weights)[:, None]
    batch = weights_batch(("target",), path, POSITIONS, np.array(TOKENS, np.int32), columns)
    with store.checkpoint(WEIGHTS.folder, "0" * 64, WEIGHTS.suffix, {}) as draft:
        pq.write_table(pa.Table.from_batches([batch]), draft.stream, write_page_checksum=True)
    assert batch.schema == weights_schema(("target",))
    return draft.sealed


def cut(threshold: float, ties: int = 0, method: str = "top-k") -> Cut:
    """What lies above a log weight, and some of the documents that have it."""
    return Cut(Ranking(method, 0, 0, "log_weight"), int(order_bits(np.array([threshold]))[0]), ties)


def chosen_by(threshold: float, ties: int) -> list[int]:
    """The oracle: indices of the documents that a cut takes."""
    able = [i for i in range(12) if TOKENS[i] >= MIN_TOKENS and LOG_WEIGHTS[i] == LOG_WEIGHTS[i]]
    equal = [i for i in able if LOG_WEIGHTS[i] == threshold][:ties]
    return sorted([i for i in able if LOG_WEIGHTS[i] > threshold] + equal)
