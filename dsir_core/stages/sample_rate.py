"""What to expect of a corpus, from its listing alone."""

from __future__ import annotations

from collections.abc import Sequence

from dsir_core.config.request import SelectConfig
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.types import SourceFile
from dsir_core.stages.plan import PlannedCorpus

NGRAMS_PER_BUCKET = 100_000
"""`fit_ngrams: auto`, as the reference."""

STEPS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429, 2.0)
"""Powers of 2 ** (1/4)."""

TOKENS_PER_TEXT_BYTE = 0.2


def first_rate(config: SelectConfig, raw: PlannedCorpus) -> float:
    """Share of the raw corpus to count, guessed from its stored bytes; 1 when about all of it is wanted."""
    wanted = ngrams_wanted(config)
    if wanted is None:
        return 1.0
    expected = estimated_tokens(raw.corpus.files) * config.ngrams
    return 1.0 if expected <= 2 * wanted else rounded_rate(1.2 * wanted / expected)


def rounded_rate(rate: float) -> float:
    """The next step of a scale of four to the octave: a corpus that grows a little keeps its rate, and its counts."""
    octave = 1.0
    while octave > rate:
        octave /= 2
    return min(1.0, next(octave * step for step in STEPS if octave * step >= rate))


def estimated_tokens(files: Sequence[SourceFile]) -> float:
    """Tokens to expect in files, by their stored bytes."""
    return sum(file.size * format_of(file).text_per_stored(file) for file in files) * TOKENS_PER_TEXT_BYTE


def ngrams_wanted(config: SelectConfig) -> int | None:
    """How many n-grams of raw to fit on; None for all."""
    fit = config.fit_ngrams
    if fit == "all":
        return None
    return NGRAMS_PER_BUCKET * config.buckets if fit == "auto" else fit
