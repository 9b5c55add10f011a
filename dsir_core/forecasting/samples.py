"""What a sample of raw and targets says of a run before it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.tally import Tally
from dsir_core.corpus.types import Batch, Shard
from dsir_core.features import count_ngrams
from dsir_core.features.unspaced import unspaced_bytes
from dsir_core.forecasting.estimates import estimate
from dsir_core.forecasting.probe import Probe, Read, probes_of, read_probe, stored_by_kind, texts_of_batch
from dsir_core.model.compact_sample import BottomKSample, SparseDocuments
from dsir_core.model.importance import selectors_of
from dsir_core.model.metrics import WeightSums
from dsir_core.resampling.recovery import Sample, tokens_of
from dsir_core.shards.recover import Found, found_in
from dsir_core.shards.sample_documents import sample_batch
from dsir_core.stages.count import CorpusCounts, Counts
from dsir_core.stages.fit import Fit
from dsir_core.stages.recover import SIZE, Recovery, candidates_of, recovery_of

MAX_HASHES = 2_000_000
"""Target documents that are remembered."""


@dataclass
class Sampled:
    """A corpus, as far as its sample shows it."""

    stored: dict[str, int]
    """Stored bytes by kind of file."""
    reads: list[Read]
    tally: Tally
    counts: npt.NDArray[np.int64]
    """int64[buckets] of the sample."""
    documents: BottomKSample
    """Some of its documents."""
    unspaced: int = 0
    """Bytes of text in scripts without spaces."""
    hashes: set[bytes] = field(default_factory=set)
    """Of a target: its documents."""
    in_target: int = 0
    """Of raw: documents that stand in a target as well."""

    @property
    def rate(self) -> float:
        """Share of the corpus's documents that was read, about."""
        documents = estimate(self.stored, self.reads, lambda read: read.documents).value
        return min(1.0, self.tally.documents / max(1.0, documents))

    def total(self, name: str) -> int:
        """A figure of `Read`, over the sample."""
        return sum(getattr(read, name) for read in self.reads)


def look_at_target(config: SelectConfig, shards: Sequence[Shard]) -> Sampled:
    """Read a sample of a target; its documents are cut into chunks, where those of raw are.

    Raises:
        DamagedFileError, RequestError, OSError: it cannot be read.
    """
    found = _sampled(config, shards)
    for batch, _ in _read(config, config.read.unconditional, found, probes_of(shards), cut=True):
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
    for batch, _ in _read(config, config.read, found, probes_of(shards)):
        if config.read.chunk is None:
            found.in_target += sum(_hash(text) in target_hashes for text in texts_of_batch(batch))
    return found


def counts_of(targets: Mapping[str, Sampled], raw: Sampled, documents: float) -> Counts:
    """The samples as the count stage would give them.

    Args:
        documents: of raw, about.
    """
    rate = min(1.0, raw.tally.documents / max(1.0, documents))
    return Counts({name: _counts(found) for name, found in targets.items()}, _counts(raw), rate, {})


def sample_recovery(config: SelectConfig, targets: Mapping[str, Sampled], raw: Sampled, counts: Counts) -> Recovery:
    """Held-out recovery as the samples show it."""
    found: dict[str, Found | None] = {}
    raw_documents = raw.documents.sample()
    for name in selectors_of(tuple(targets), config.by_target):
        mine = counts.targets_of(name)
        rates = [targets[target].rate for target in mine]
        sampled = SparseDocuments.joined(
            [
                targets[target].documents.sample().thinned(rate, min(rates))
                for target, rate in zip(mine, rates, strict=True)
            ]
        )
        # Where the targets' samples are of one rate, what they hold beside these documents counts as well.
        summed = counts.counts_of(name) if min(rates) == max(rates) else sampled.summed(config.buckets)
        sample = Sample(sampled, summed, raw_documents, raw.counts, config.ngrams, config.min_tokens)
        found[name] = found_in(sample, candidates_of(config))
    return recovery_of(config, counts, found)


def effective_sample_size(config: SelectConfig, raw: Sampled, fitted: Fit) -> tuple[float, int]:
    """Of the eligible documents of the raw sample (the least of all who select), and the number of these."""
    documents = raw.documents.sample()
    n_tokens = tokens_of(documents, config.ngrams)
    eligible = n_tokens >= config.min_tokens
    log_weights = documents.matrix(config.buckets) @ fitted.model.log_ratio.T
    sums = [
        WeightSums.of(replace(scaling, temperature=config.temperature).scaled(log_weights[:, i], n_tokens)[eligible])
        for i, scaling in enumerate(fitted.scaling[name] for name in fitted.model.selectors)
    ]
    return min(each.effective_sample_size for each in sums), sums[0].n


def _sampled(config: SelectConfig, shards: Sequence[Shard]) -> Sampled:
    documents = BottomKSample(SIZE.bound)
    return Sampled(stored_by_kind(shards), [], Tally(), np.zeros(config.buckets, np.int64), documents)


def _counts(found: Sampled) -> CorpusCounts:
    return CorpusCounts(found.counts, found.tally, np.empty((0, 4), np.int64))


def _read(
    config: SelectConfig, settings: ReadSettings, found: Sampled, probes: Sequence[Probe], *, cut: bool = False
) -> Iterator[tuple[Batch, Read]]:
    for probe in probes:
        read = None
        for batch, read in read_probe(probe, settings):
            n_tokens = count_ngrams(batch.text_data, batch.text_offsets, config.features, found.counts)
            eligible = n_tokens >= config.min_tokens
            read.tokens += int(n_tokens.sum())
            read.eligible += int(eligible.sum())
            read.eligible_tokens += int(n_tokens[eligible].sum())
            found.tally.documents += len(batch)
            found.tally.tokens += int(n_tokens.sum())
            pieces = cut_batch(batch, config.chunk.words) if cut and config.chunk is not None else batch
            sample_batch(pieces, probe.file_range.file.path, "plan", config.features, found.documents)
            yield batch, read
        found.reads.append(read or Read(probe.kind, probe.n_stored))


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).digest()
