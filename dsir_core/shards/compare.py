"""What several methods choose of one shard: how much, what they share, whose labels, and the n-grams, counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import array_from, load_or_make, write_array
from dsir_core.checkpoints.kinds import COMPARISON
from dsir_core.checkpoints.receipts import Draft, Receipt
from dsir_core.checkpoints.store import Store
from dsir_core.config.reading import Chunking
from dsir_core.corpus.fields import MAX_STRATA
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import FileRange
from dsir_core.errors import RunFailedError
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.keys import Chooser, Cut, View
from dsir_core.resampling.methods import log_chances_of
from dsir_core.resampling.weight_rows import Rows, by_stratum, read_rows
from dsir_core.shards.select import cut_values
from dsir_core.shards.selected_records import SelectedRows, count_chosen, read_chosen
from dsir_core.shards.task import SourceTask


@dataclass(frozen=True)
class CompareTask(SourceTask):
    """One shard in which several methods choose."""

    kind = COMPARISON
    weights: Receipt
    selectors: tuple[str, ...]
    """Who chooses, by index of the target."""
    cuts: tuple[tuple[Cut, ...], ...]
    """Of each method."""
    min_tokens: int
    chunk: Chunking | None = None

    @property
    def depends(self) -> dict[str, Any]:
        """See `ShardTask`."""
        return {
            **self.source,
            "weights": self.weights.sha256,
            "names": self.selectors,
            "cuts": [[cut_values(cut) for cut in cuts] for cuts in self.cuts],
            "min_tokens": self.min_tokens,
            "chunk": self.chunk and self.chunk.words,
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the weights file that are looked at."""
        return tuple(dict.fromkeys(c for cuts in self.cuts for cut in cuts for c in cut.ranking.columns))


@dataclass
class Compared:
    """Mergeable figures of what each method chooses."""

    documents: npt.NDArray[np.int64]
    """int64[methods, targets]."""
    tokens: npt.NDArray[np.int64]
    """int64[methods, targets]."""
    shared: npt.NDArray[np.int64]
    """int64[methods, methods]: documents that both choose."""
    counts: npt.NDArray[np.int64]
    """int64[methods, targets, buckets]: n-grams."""
    seen: int = 0
    """Documents looked at."""
    eligible: int = 0
    labels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    """By stratum int64[1 + methods]: eligible documents, those of each method."""
    weights: dict[str, WeightSums] = field(default_factory=dict)
    """By method and target, of those that choose with given probabilities."""

    @classmethod
    def nothing(cls, methods: int, targets: int, buckets: int) -> Compared:
        """Of no document."""
        zeros = np.zeros((methods, targets, buckets), np.int64)
        return cls(zeros[:, :, 0].copy(), zeros[:, :, 0].copy(), np.zeros((methods, methods), np.int64), zeros)

    def merge(self, other: Compared) -> None:
        """Add other documents' figures to these."""
        for name in ("documents", "tokens", "shared", "counts", "seen", "eligible"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for label, counts in other.labels.items():
            self.labels[label] = self.labels[label] + counts if label in self.labels else counts
        if len(self.labels) > MAX_STRATA:
            raise RunFailedError(f"the field of strata has over {MAX_STRATA:,} values: choose one with fewer")
        for key, sums in other.weights.items():
            self.weights[key] = self.weights.get(key, WeightSums()).merge(sums)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the counts."""
        return {
            "documents": self.documents.tolist(),
            "tokens": self.tokens.tolist(),
            "shared": self.shared.tolist(),
            "seen": self.seen,
            "eligible": self.eligible,
            "labels": {label: counts.tolist() for label, counts in self.labels.items()},
            "weights": {key: vars(sums) for key, sums in self.weights.items() if sums.n},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], counts: npt.NDArray[np.int64]) -> Compared:
        """Inverse of `to_json`."""
        arrays = {name: np.array(value[name], np.int64) for name in ("documents", "tokens", "shared")}
        return cls(
            **arrays,
            counts=counts,
            seen=value["seen"],
            eligible=value["eligible"],
            labels={label: np.array(counts, np.int64) for label, counts in value["labels"].items()},
            weights={key: WeightSums(**sums) for key, sums in value["weights"].items()},
        )


@dataclass(frozen=True)
class CompareResult:
    """Figures of one shard."""

    compared: Compared
    reused: bool
    seconds: float

    @property
    def tally(self) -> Tally:
        """For the observer: the documents looked at."""
        return Tally(documents=self.compared.seen)


@dataclass(frozen=True)
class _SelectedRows(SelectedRows):
    """Documents of one file that some method chooses."""

    targets: npt.NDArray[np.int32]
    """int32[n, methods]: the target for which each method chooses it, or -1."""


def compare_shard(task: CompareTask) -> CompareResult:
    """Compare what methods choose of a shard, or take the figures that are there.

    Raises:
        DamagedFileError: a file cannot be read whole, or no longer holds what was scored.
    """
    store = Store(task.workdir)

    def load(receipt: Receipt, data: bytes) -> Compared:
        return Compared.from_json(receipt.summary, array_from(data))

    def make(draft: Draft) -> Compared:
        found = _compare(store, task)
        write_array(draft, found.counts)
        draft.summary.update(found.to_json())
        return found

    done = load_or_make(store, task.kind, task.key, load, make)
    return CompareResult(done.value, done.reused, done.seconds)


def _compare(store: Store, task: CompareTask) -> Compared:
    found = Compared.nothing(len(task.cuts), len(task.selectors), task.features.buckets)
    chosen = _choose(store, task, found)
    for file_range in task.shard.ranges:
        if file_range.file.path in chosen:
            _count(task, file_range, chosen[file_range.file.path], found.counts)
    return found


def _choose(store: Store, task: CompareTask, found: Compared) -> dict[str, _SelectedRows]:
    """What any method chooses, by file. Holds a few numbers for each such document of one shard."""
    choosers = [Chooser(cuts, task.min_tokens) for cuts in task.cuts]
    target_of = [np.array([cut.ranking.target for cut in cuts] + [-1], np.int32) for cuts in task.cuts]
    parts: dict[str, list[_SelectedRows]] = {}
    for rows in read_rows(store, task.weights.name, task.columns):
        view = View(rows, task.min_tokens)
        pairs = zip(choosers, target_of, strict=True)
        targets = np.stack([targets[chooser.choose(view)] for chooser, targets in pairs], axis=1)
        found.merge(_figures(task, view, targets))
        for path, one in _by_file(rows, targets):
            parts.setdefault(path, []).append(one)
    return {path: _joined(some) for path, some in parts.items()}


def _figures(task: CompareTask, view: View, targets: npt.NDArray[np.int32]) -> Compared:
    """Figures of some documents, but for their n-grams."""
    rows = view.rows
    figures = Compared.nothing(len(task.cuts), len(task.selectors), 1)
    figures.counts = np.zeros((), np.int64)
    is_chosen = targets >= 0
    for method, target in np.ndindex(figures.documents.shape):
        mine = targets[:, method] == target
        figures.documents[method, target] = mine.sum()
        figures.tokens[method, target] = rows.n_tokens[mine].sum(dtype=np.int64)
    figures.shared = is_chosen.T.astype(np.int64) @ is_chosen.astype(np.int64)
    figures.seen, figures.eligible = len(rows), int(view.eligible.sum())
    columns = [[n for _, n, _ in by_stratum(rows, mask)] for mask in (view.eligible, *is_chosen.T)]
    by_label = np.array(columns, np.int64).T
    figures.labels = {label: by_label[i] for i, label in enumerate(rows.strata) if by_label[i].any()}
    for cuts in task.cuts:
        for cut in cuts:
            sums = _probabilities(view, cut)
            if sums is not None:
                figures.weights[weights_key(cut.ranking.method, cut.ranking.target)] = sums
    return figures


def weights_key(method: str, target: int) -> str:
    """Names a method's weights for a target in `Compared.weights`."""
    return f"{method} {target}"


def _probabilities(view: View, cut: Cut) -> WeightSums | None:
    """Sums over what eligible documents' chances are in proportion to; None for a method without chance."""
    weights = log_chances_of(view.rows, cut.ranking)
    return None if weights is None else WeightSums.of(weights[view.eligible])


def _by_file(rows: Rows, targets: npt.NDArray[np.int32]) -> Iterator[tuple[str, _SelectedRows]]:
    which = np.flatnonzero((targets >= 0).any(axis=1))
    for part in np.split(which, np.flatnonzero(np.diff(rows.file_codes[which])) + 1):
        if len(part):
            offsets = None if rows.offsets is None else rows.offsets[part]
            path = rows.files[rows.file_codes[part[0]]]
            yield path, _SelectedRows(rows.positions[part], rows.n_tokens[part], offsets, targets[part])


def _joined(parts: list[_SelectedRows]) -> _SelectedRows:
    offsets = [part.offsets for part in parts if part.offsets is not None]
    return _SelectedRows(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.n_tokens for part in parts]),
        np.concatenate(offsets) if offsets else None,
        np.concatenate([part.targets for part in parts]),
    )


def _count(task: CompareTask, file_range: FileRange, chosen: _SelectedRows, counts: npt.NDArray[np.int64]) -> None:
    """Add the n-grams of chosen documents to those of the methods that choose them, each document counted once."""
    for _, found, mine in read_chosen(file_range, task.read, chosen, task.chunk):
        who, groups = np.unique(chosen.targets[mine], axis=0, return_inverse=True)
        for group, targets in enumerate(who):
            ngrams = np.zeros(task.features.buckets, np.int64)
            count_chosen(file_range, found, chosen.n_tokens[mine], groups.ravel() == group, task.features, ngrams)
            for method in np.flatnonzero(targets >= 0):
                counts[method, targets[method]] += ngrams
