"""How large a selection, a workdir and an output will be."""

from __future__ import annotations

from dataclasses import dataclass

from dsir_core.config.hashes import HASHES
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.formats.registry import ENTRIES
from dsir_core.forecasting.estimates import Estimate, estimate
from dsir_core.forecasting.samples import Sampled
from dsir_core.stages.count import keep_bytes

WEIGHT_BYTES = 20.0
"""Of a document with one target in a weights file; each further target adds eight."""

CHOSEN_BYTES = 60.0
"""Of a chosen document in the lists of the workdir and in selected.parquet."""

COMPRESSED = 0.35
"""Of text by zstd or gzip."""

RECORD_PER_TEXT = 1.15
"""Bytes of a record for each byte of its text."""

BASE_BYTES = 300e6
"""Memory of a worker with the default settings; docs/performance.md."""

DEFAULT_TABLE = 10_000 * 8


@dataclass(frozen=True)
class Selection:
    """What will be chosen, about."""

    documents: float
    tokens: float
    text_bytes: float


@dataclass(frozen=True)
class RawFigures:
    """A raw corpus by its sample."""

    documents: Estimate
    tokens: Estimate
    text_bytes: Estimate
    eligible: Estimate
    eligible_tokens: Estimate
    bad: Estimate


def raw_figures(raw: Sampled) -> RawFigures:
    """Estimates of what a run will count."""
    return RawFigures(
        estimate(raw.stored, raw.reads, lambda read: read.documents),
        estimate(raw.stored, raw.reads, lambda read: read.tokens),
        estimate(raw.stored, raw.reads, lambda read: read.text_bytes),
        estimate(raw.stored, raw.reads, lambda read: read.eligible),
        estimate(raw.stored, raw.reads, lambda read: read.eligible_tokens),
        estimate(raw.stored, raw.reads, lambda read: read.bad),
    )


def selection_of(config: SelectConfig, raw: RawFigures) -> Selection | None:
    """What the request asks for, if chosen documents were as long as eligible ones; None when it asks for nothing."""
    eligible = raw.eligible.value
    each = raw.eligible_tokens.value / eligible if eligible else 0.0
    quotas = sum(config.quotas.values()) if isinstance(config.quotas, dict) and not config.is_sized else None
    if config.tokens is not None:
        documents = config.tokens / each if each else 0.0
    elif config.fraction is not None:
        documents = config.fraction * eligible
    elif config.count is not None or quotas is not None:
        documents = float(config.count or quotas or 0)
    else:
        return None
    documents = min(documents, eligible)
    tokens = documents * each
    bytes_per_token = raw.text_bytes.value / raw.tokens.value if raw.tokens.value else 0.0
    return Selection(documents, tokens, tokens * bytes_per_token)


def workdir_bytes(config: SelectConfig, raw: RawFigures, selection: Selection | None, n_shards: int) -> float:
    """Checkpoints of a run.

    Args:
        n_shards: of raw and targets.
    """
    n_models = len(config.target) if config.by_target else 1
    total = n_shards * config.buckets * 8.0 + raw.documents.value * (WEIGHT_BYTES + 8 * (n_models - 1))
    if selection is not None:
        total += selection.documents * CHOSEN_BYTES + selection.text_bytes * RECORD_PER_TEXT * COMPRESSED
    return total


def output_bytes(config: SelectConfig, raw: Sampled, selection: Selection) -> float:
    """Parts and lists of a selection."""
    plain_text = sum(n for kind, n in raw.stored.items() if kind in ENTRIES and ENTRIES[kind].packed)
    plain = plain_text / max(1, sum(raw.stored.values()))
    share = {"none": 1.0, "gzip": COMPRESSED, "zstd": COMPRESSED}.get(
        config.compression, plain + (1 - plain) * COMPRESSED
    )
    return selection.text_bytes * RECORD_PER_TEXT * share + selection.documents * CHOSEN_BYTES


def worker_bytes(config: SelectConfig) -> float:
    """Memory of a worker at its peak: what any has, and what grows with buckets, targets, and kept n-grams."""
    tables = config.buckets * 8.0 * (2 + (len(config.target) if config.by_target else 1))
    kept = keep_bytes(config) if HASHES[config.hash].is_expensive or any("://" in spec for spec in config.raw) else 0
    return BASE_BYTES + max(0.0, tables - 3 * DEFAULT_TABLE) + kept
