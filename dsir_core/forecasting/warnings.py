"""What a sample says may be wrong with a request, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsir_core.config.hashes import TOKENIZERS
from dsir_core.config.request import SelectConfig
from dsir_core.corpus.formats.registry import format_of
from dsir_core.errors import DsirError
from dsir_core.forecasting.samples import Sampled
from dsir_core.forecasting.sizes import RawFigures, Selection
from dsir_core.model.smoothing import FEW_NGRAMS_PER_BUCKET
from dsir_core.report.advice import advise
from dsir_core.report.formatting import counted
from dsir_core.report.recovery import advice
from dsir_core.stages.count import MUCH_UNSPACED
from dsir_core.stages.plan import PlannedCorpus

FEW_ELIGIBLE = 0.1
MUCH_OVERLAP = 0.001


def warn_of_target(config: SelectConfig, name: str, target: Sampled, ngrams: float) -> Iterator[str]:
    """Of one target.

    Args:
        ngrams: of the whole target, about.
    """
    yield from _no_record(f"target {name!r}", target)
    if config.smoothing == 0.0 and 0 < ngrams < FEW_NGRAMS_PER_BUCKET * config.buckets:
        yield advise(
            "smoothing", target=name, ngrams=f"about {counted(round(ngrams), 'n-gram')}", buckets=config.buckets
        )
    unspaced = target.unspaced / max(1, target.total("text_bytes"))
    if not TOKENIZERS[config.tokenizer].splits_unspaced and unspaced >= MUCH_UNSPACED:
        yield advise("tokenizer", target=name, unspaced=unspaced)


def warn_of_raw(config: SelectConfig, raw: Sampled, figures: RawFigures, selection: Selection | None) -> Iterator[str]:
    """Of the raw corpus."""
    yield from _no_record("raw", raw)
    documents, eligible = raw.total("documents"), raw.total("eligible")
    sampled = counted(documents, "document")
    if documents and eligible < FEW_ELIGIBLE * documents:
        yield advise("min-tokens", eligible=eligible, documents=sampled, min_tokens=config.min_tokens)
    wanted = config.count
    if selection is not None and wanted is not None and 0 < figures.eligible.high < wanted:
        yield (
            f"count: {counted(wanted, 'document')} asked for, and raw has only about "
            f"{counted(round(figures.eligible.value), 'eligible document')}: none will be left out"
        )
    elif selection is not None and selection.documents >= 0.9 * figures.eligible.value > 0:
        yield "nearly all eligible documents will be chosen: the selection will be much like raw"
    if raw.in_target > MUCH_OVERLAP * max(1, documents) and not config.exclude_target_copies:
        yield advise("target-copies", where="the sample", found=raw.in_target, documents=sampled)


def warn_of_recovery(recovery: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Of held-out recovery in the samples: what it says about the request."""
    for name, found in recovery.items():
        yield from advice(name, found)


def missing_field(planned: PlannedCorpus, sample: Sampled) -> str | None:
    """Which fields there are, where the text field seems not to be there; None where it is."""
    bad = [read for read in sample.reads if read.bad and read.first_bad.endswith(" is missing")]
    if not bad or sample.total("documents") > sample.total("bad"):
        return None
    path = bad[0].first_bad.rpartition(" at ")[0]
    file = next(file for file in planned.corpus.files if file.path == path)
    name = bad[0].first_bad.rpartition(": ")[2].removesuffix(" is missing")
    try:
        found = format_of(file).suggest_fields(file, name)
    except (DsirError, OSError):
        return None
    if not found:
        return None
    return f"{path}: records have no field {name!r}; is it {' or '.join(map(repr, found))}? Set --text-field"


def too_many_bad(config: SelectConfig, sample: Sampled) -> str | None:
    """Why the run would fail, where more records of a corpus are bad than the request allows."""
    bad, records = sample.total("bad"), sample.total("bad") + sample.total("documents") + sample.total("excluded")
    if not records or bad <= config.max_bad_fraction * records:
        return None
    first = next(read.first_bad for read in sample.reads if read.first_bad)
    return (
        f"bad in the sample: {bad:,} of {counted(records, 'record')}, more than --max-bad-fraction "
        f"{config.max_bad_fraction:g} allows: the run would fail. First {first}"
    )


def _no_record(what: str, sample: Sampled) -> Iterator[str]:
    if not sample.total("bad") + sample.total("documents") + sample.total("excluded"):
        yield f"{what}: no record begins in the sample: its records are very large, or its files empty"
