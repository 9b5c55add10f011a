"""Log importance weights of a shard's documents, as Parquet in the store."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.checkpoints.cached import find_or_make
from dsir_core.checkpoints.kinds import MODEL, WEIGHTS
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import ReadSettings
from dsir_core.config.settings import ExternalSettings
from dsir_core.corpus.fields import check_strata
from dsir_core.corpus.tally import Quarantine, Tally
from dsir_core.digests import digest
from dsir_core.errors import DamagedFileError
from dsir_core.external.scores import DocumentScores, account_scores, add_scores, scores_of
from dsir_core.features import score_ngrams
from dsir_core.features.text_hashes import text_hashes
from dsir_core.model.importance import FittedModel
from dsir_core.resampling.weights_schema import gather_rows, stratum_names, weights_batch, weights_schema
from dsir_core.shards.ngram_cache import NGRAM_CACHE, KeptShard
from dsir_core.shards.reading import quarantining, read_shard
from dsir_core.shards.task import SourceTask

ROW_GROUP_ROWS = 128 * 1024


def reads_text_alone(read: ReadSettings, external: ExternalSettings | None, strata: str | None, hashes: bool) -> bool:
    """Whether scoring wants nothing of a document but the n-grams of its text, so that kept ones serve."""
    return read.chunk is None and external is None and strata is None and not hashes


@dataclass(frozen=True)
class ScoreTask(SourceTask):
    """One shard to score."""

    kind = WEIGHTS
    model_digest: str
    external: ExternalSettings | None = None
    joined: Receipt | None = None
    """Where the documents' scores lie that a table gave."""
    strata: str | None = None
    """Field of the record whose value is the document's stratum."""
    hashes: bool = False
    """Whether the hash of each text is wanted, by which copies are found."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the record that are wanted beside its text."""
        in_record = self.external is not None and self.external.table is None
        column = (self.external.column,) if self.external is not None and in_record else ()
        return (*((self.strata,) if self.strata else ()), *column)

    def schema(self, model: FittedModel) -> pa.Schema:
        """Of the weights file."""
        return weights_schema(
            model.selectors,
            odds=model.classifier is not None,
            strata=self.strata is not None,
            offsets=self.read.chunk is not None,
            hashes=self.hashes,
        )

    @property
    def place(self) -> str:
        """Names the shard's n-grams, wherever counting has kept them."""
        return digest(self.source)

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {
            **self.source,
            "model": self.model_digest,
            "external": self.external and [self.external.column, self.external.ngram, self.external.external],
            "joined": self.joined and self.joined.sha256,
            "strata": self.strata,
            **({"hashes": True} if self.hashes else {}),
        }


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Where one shard's weights lie, and what was read for them."""

    receipt: Receipt
    tally: Tally
    reused: bool
    seconds: float


def score_shard(task: ScoreTask) -> ScoreResult:
    """Score the documents of a shard into the store, or take the weights that are there.

    Raises:
        DamagedFileError: a file cannot be read whole.
    """
    store = Store(task.workdir)
    done = find_or_make(
        store,
        task.kind,
        task.key,
        load=lambda receipt: Tally.from_json(receipt.summary),
        make=lambda draft: _score(store, task, draft),
    )
    return ScoreResult(done.receipt, done.value, done.reused, done.seconds)


def _score(store: Store, task: ScoreTask, draft: Draft) -> Tally:
    """Score a shard, from its kept n-grams or from its files, as the weights are written."""
    model = load_model(task.workdir, task.model_digest)
    tally = Tally()
    kept = (
        NGRAM_CACHE.take(task.place) if reads_text_alone(task.read, task.external, task.strata, task.hashes) else None
    )
    # What was kept was read by counting, which has written the quarantine file, too.
    with quarantining(store, task.shard, task.read, tally, write=kept is None) as quarantine:
        scored = _scored(task, model, tally, quarantine) if kept is None else _scored_kept(task, kept, model, tally)
        write_weights(draft.stream, task.schema(model), scored)
    draft.summary.update(tally.to_json())
    return tally


@functools.lru_cache(maxsize=2)
def load_model(workdir: str, model_digest: str) -> FittedModel:
    """The fitted model of a workdir, read once a process."""
    return FittedModel.from_bytes(Store(workdir).read(f"{MODEL.name(model_digest)}{MODEL.suffix}"))


def _scored(task: ScoreTask, model: FittedModel, tally: Tally, quarantine: Quarantine) -> Iterator[pa.RecordBatch]:
    joined, table = _Joined(task), model.table
    seen: set[str] = set()
    for file_range, batch in read_shard(task.shard, task.read, tally, quarantine, fields=task.fields):
        sums, n_tokens = score_ngrams(batch.text_data, batch.text_offsets, task.features, table)
        tally.tokens += int(n_tokens.sum())
        if not len(batch):
            continue
        log_weights, log_odds = _parted(task, model, sums, n_tokens)
        if task.external is not None:
            found = joined.take(len(batch)) if task.joined else scores_of([values[-1] for values in batch.fields])
            log_weights, found = add_scores(log_weights, found, task.external)
            account_scores(tally, file_range.file.path, batch.positions, found)
        strata = stratum_names([values[0] for values in batch.fields]) if task.strata else None
        if strata is not None:
            seen.update(strata.dictionary.to_pylist())
            check_strata(seen, task.strata, file_range.file.path)
        yield weights_batch(
            model.selectors,
            file_range.file.path,
            batch.positions,
            n_tokens,
            log_weights,
            log_odds,
            strata,
            batch.offsets,
            text_hashes(batch.text_data, batch.text_offsets) if task.hashes else None,
        )
    joined.finish()


def _parted(
    task: ScoreTask, model: FittedModel, sums: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    """Log weights and log odds, float64[n, selectors] each, from sums float64[n, rows of the model's table]."""
    n = len(model.selectors)
    if model.classifier is None:
        return sums, None
    return sums[:, :n], model.classifier.log_odds(sums[:, n:], n_tokens, task.features.ngrams)


class _Joined:
    """The scores that a table gave to the documents of a shard, handed out in their order."""

    def __init__(self, task: ScoreTask) -> None:
        self._task = task
        self._at = 0
        self._all = DocumentScores.from_bytes(Store(task.workdir).read(task.joined.name)) if task.joined else None

    def take(self, n: int) -> DocumentScores:
        assert self._all is not None
        self._at += n
        if self._at > len(self._all):
            raise self._changed()
        return self._all.part(self._at - n, self._at)

    def finish(self) -> None:
        """Check that every score was used.

        Raises:
            DamagedFileError: there are scores of other documents.
        """
        if self._all is not None and self._at != len(self._all):
            raise self._changed()

    def _changed(self) -> DamagedFileError:
        url = self._task.shard.ranges[0].file.url
        return DamagedFileError(url, "changed during the run: holds other documents than when its keys were read")


def _scored_kept(task: ScoreTask, kept: KeptShard, model: FittedModel, tally: Tally) -> Iterator[pa.RecordBatch]:
    tally.merge(kept.tally)
    table = model.table
    for batch in kept.batches:
        if len(batch.positions):
            n_tokens = batch.ngrams.n_tokens
            log_weights, log_odds = _parted(task, model, batch.ngrams.score(table), n_tokens)
            yield weights_batch(
                model.selectors, batch.file_range.file.path, batch.positions, n_tokens, log_weights, log_odds
            )


def write_weights(stream: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """Write batches of weights as Parquet."""
    with pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True) as writer:
        for table in gather_rows(batches, schema, ROW_GROUP_ROWS):
            writer.write_table(table)
