"""What a sample of raw and targets says of a run before it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import SelectConfig
from dsir_core.config.settings import RawPrior
from dsir_core.corpus.types import Batch, Shard
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.unspaced import unspaced_bytes
from dsir_core.forecasting.probe import Probe, Read, probes_of, read_probe, stored_by_kind, texts_of_batch
from dsir_core.model.importance import FittedModel, distribution, fit_model, selectors_of
from dsir_core.model.metrics import WeightSums
from dsir_core.model.smoothing import FOLDS, NONE, Smoothing, pick_smoothing
from dsir_core.resampling.scaling import WeightScaling

KEPT_BYTES = 64 * 2**20
"""Text of the raw sample that is held to be scored."""

MAX_HASHES = 2_000_000
"""Target documents that are remembered."""


@dataclass
class Sampled:
    """A corpus, as far as its sample shows it."""

    stored: dict[str, int]
    """Stored bytes by kind of file."""
    reads: list[Read]
    counts: npt.NDArray[np.int64]
    """int64[FOLDS, buckets] of the sample."""
    unspaced: int = 0
    """Bytes of text in scripts without spaces."""
    hashes: set[bytes] = field(default_factory=set)
    """Of a target: its documents."""
    texts: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]] = field(default_factory=list)
    """Of raw: documents, as Arrow-like buffers."""
    in_target: int = 0
    """Of raw: documents that stand in a target as well."""

    def total(self, name: str) -> int:
        """A figure of `Read`, over the sample."""
        return sum(getattr(read, name) for read in self.reads)


def look_at_target(config: SelectConfig, shards: Sequence[Shard]) -> Sampled:
    """Read a sample of a target.

    Raises:
        DamagedFileError, RequestError, OSError: it cannot be read.
    """
    found = _sampled(config, shards)
    for batch, _ in _read(config, config.read.unconditional, found, probes_of(shards)):
        found.unspaced += unspaced_bytes(batch.text_data, batch.text_offsets)
        if len(found.hashes) < MAX_HASHES:
            found.hashes.update(map(_hash, texts_of_batch(batch)))
    return found


def look_at_raw(config: SelectConfig, shards: Sequence[Shard], target_hashes: set[bytes]) -> Sampled:
    """Read a sample of the raw corpus.

    Raises:
        DamagedFileError, RequestError, OSError: it cannot be read.
    """
    found = _sampled(config, shards)
    kept = 0
    for batch, _ in _read(config, config.read, found, probes_of(shards)):
        if config.read.chunk is None:
            found.in_target += sum(_hash(text) in target_hashes for text in texts_of_batch(batch))
        n_bytes = int(batch.text_offsets[-1] - batch.text_offsets[0])
        if len(batch) and (kept := kept + n_bytes) <= KEPT_BYTES:
            found.texts.append((batch.text_data.copy(), batch.text_offsets.copy()))
    return found


def sample_model(config: SelectConfig, targets: Mapping[str, Sampled], raw: Sampled) -> FittedModel:
    """The importance model of the samples.

    Raises:
        RequestError: a sample holds no n-gram.
    """
    raw_counts = raw.counts.sum(axis=0)
    folds = {name: found.counts for name, found in targets.items()}
    smoothing = {}
    for name in selectors_of(tuple(targets), config.by_target):
        mine = folds[name] if name in folds else np.sum(list(folds.values()), axis=0)
        smoothing[name] = _smoothing(config, mine, raw_counts)
    counts = {name: each.sum(axis=0) for name, each in folds.items()}
    return fit_model(counts, raw_counts, smoothing=smoothing, separate=config.by_target, proportions=config.proportions)


def effective_sample_size(config: SelectConfig, raw: Sampled, model: FittedModel) -> tuple[float, int]:
    """Of the eligible documents of the raw sample (the least of all who select), and the number of these."""
    spread = WeightScaling(config.temperature, config.length_normalise)
    sums = [WeightSums() for _ in model.selectors]
    for data, offsets in raw.texts:
        log_weights, n_tokens = score_ngrams(data, offsets, config.features, model.log_ratio)
        eligible = n_tokens >= config.min_tokens
        for i in range(len(sums)):
            preferences = spread.scaled(log_weights[:, i], n_tokens)
            sums[i] = sums[i].merge(WeightSums.of(preferences[eligible]))
    return min(each.effective_sample_size for each in sums), sums[0].n


def _sampled(config: SelectConfig, shards: Sequence[Shard]) -> Sampled:
    return Sampled(stored_by_kind(shards), [], np.zeros((FOLDS, config.buckets), np.int64))


def _read(
    config: SelectConfig, settings: ReadSettings, found: Sampled, probes: Sequence[Probe]
) -> Iterator[tuple[Batch, Read]]:
    fold = 0
    for probe in probes:
        read = None
        for batch, read in read_probe(probe, settings):
            n_tokens = count_ngrams(batch.text_data, batch.text_offsets, config.features, found.counts[fold % FOLDS])
            eligible = n_tokens >= config.min_tokens
            read.tokens += int(n_tokens.sum())
            read.eligible += int(eligible.sum())
            read.eligible_tokens += int(n_tokens[eligible].sum())
            fold += 1
            yield batch, read
        found.reads.append(read or Read(probe.kind, probe.n_stored))


def _smoothing(config: SelectConfig, folds: npt.NDArray[np.int64], raw_counts: npt.NDArray[np.int64]) -> Smoothing:
    asked = config.smoothing
    if isinstance(asked, RawPrior):
        return Smoothing(raw_prior=asked.raw_prior)
    if asked != "auto":
        return Smoothing(laplace=asked)
    if not raw_counts.any():
        return NONE
    picked = pick_smoothing(folds, distribution(raw_counts))
    return picked.smoothing if picked else Smoothing(raw_prior=float(config.buckets))


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).digest()
