"""Why a document weighs what it does: its log weight as a sum over its n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.features import score_ngrams
from dsir_core.features.reference import lower
from dsir_core.features.texts import text_buffers
from dsir_core.features.unicode_table import (
    CAPITAL_SIGMA,
    DELTA_MASK,
    DELTA_ZERO,
    DOTTED_I,
    SINGLE,
    SPACE,
    classes,
    codes_of,
    entries_of,
)
from dsir_core.model.importance import FittedModel
from dsir_core.report.explained import Contribution, Explanation
from dsir_core.shards.bucket_names import Ngram, buckets_in_order, ngrams_of


def explain(text: str, model: FittedModel, features: FeatureSettings) -> list[Explanation]:
    """The document under each of the model's targets, in their order.

    Raises:
        ValueError: the model has another number of buckets.
    """
    data, offsets = text_buffers([text])
    log_weights, _ = score_ngrams(data, offsets, features, model.log_ratio)
    tokens, spans = _tokens(text, features.tokenizer)
    ngrams, in_order = list(ngrams_of(tokens, features.ngrams)), buckets_in_order(tokens, features)
    times = Counter(ngrams)
    bucket_of = dict(zip(ngrams, np.concatenate(in_order).tolist(), strict=True))
    return [
        Explanation(
            text,
            target,
            float(log_weights[0, row]),
            _contributions(times, bucket_of, log_ratio),
            tuple((start, stop) for start, stop in spans.tolist()),
            _by_token(len(tokens), in_order, log_ratio),
        )
        for row, (target, log_ratio) in enumerate(zip(model.selectors, model.log_ratio, strict=True))
    ]


def weigh_tokens(
    text: str, log_ratio: npt.NDArray[np.float64], features: FeatureSettings
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where each token stands in a text, and each n-gram's log ratio shared out evenly among its tokens.

    Args:
        text: of a document, or of a part of one.
        log_ratio: float64[buckets], of one target.
        features: those of the model.

    Returns:
        Start and stop of each token, in characters, int64[tokens, 2]; float64[tokens].
    """
    tokens, spans = _tokens(text, features.tokenizer)
    return spans, _by_token(len(tokens), buckets_in_order(tokens, features), log_ratio)


def _contributions(
    times: Counter[Ngram], bucket_of: dict[Ngram, int], log_ratio: npt.NDArray[np.float64]
) -> tuple[Contribution, ...]:
    found = [
        Contribution(" ".join(ngram), bucket_of[ngram], n, float(log_ratio[bucket_of[ngram]]))
        for ngram, n in times.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.total, one.ngram)))


def _by_token(
    n_tokens: int, in_order: Sequence[npt.NDArray[np.int64]], log_ratio: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    shares = np.zeros(n_tokens, np.float64)
    for order, buckets in enumerate(in_order, 1):
        added = log_ratio[buckets] / order
        for i in range(order):
            shares[i : i + len(added)] += added
    return shares


def _tokens(text: str, tokenizer: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Tokens as `reference.tokenize` gives them, and where they stand in the text as it is: int64[tokens, 2]."""
    lowered = _lower(text)
    kinds = classes(lowered, tokenizer)
    begins = np.append(True, (kinds[1:] != kinds[:-1]) | (kinds[1:] == SINGLE))[: len(kinds)]
    starts = np.flatnonzero(begins)
    stops = np.append(starts[1:], len(kinds))
    is_token = kinds[starts] != SPACE
    starts, stops = starts[is_token], stops[is_token]
    tokens = [lowered[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    # One character alone lower-cases to two.
    places = np.repeat(np.arange(len(text)), np.where(codes_of(text) == DOTTED_I, 2, 1))
    return tokens, np.stack([places[starts], places[stops - 1] + 1], axis=1)


def _lower(text: str) -> str:
    """What `reference.lower` gives, at once where no character's lower case depends on its neighbours."""
    if chr(DOTTED_I) in text or chr(CAPITAL_SIGMA) in text:
        return lower(text)
    codes = codes_of(text)
    lowered = codes + (entries_of(codes) & DELTA_MASK) - DELTA_ZERO
    return lowered.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
