"""The same n-grams in plain Python: slow, and plain enough to be believed. Kernels are tested against it.

The default hash, for any language. A token is hashed by XXH3-64 (seed 0) of its lower-cased UTF-8 bytes. An n-gram's
hash folds those of its tokens; its bucket is the upper half of the hash scaled to the number of buckets:

    def bucket(tokens: list[str], buckets: int) -> int:
        h = 0
        for token in tokens:
            h = (h * 0x9E3779B97F4A7C15 + xxhash.xxh3_64_intdigest(token.encode())) % 2**64
        return ((h >> 32) * buckets) >> 32
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby

from dsir_core.config.features import FeatureSettings
from dsir_core.config.functions import function_named
from dsir_core.config.hashes import HASHES
from dsir_core.features.unicode_table import (
    CAPITAL_SIGMA,
    CASE_IGNORABLE,
    CASED,
    CLASS_SHIFT,
    COMBINING_DOT,
    DELTA_MASK,
    DELTA_ZERO,
    DOTTED_I,
    FINAL_SIGMA,
    SIGMA,
    SINGLE,
    SPACE,
    entry,
)

FOLD = 0x9E3779B97F4A7C15

TokenHash = Callable[[bytes], int]


def lower(text: str) -> str:
    """`str.lower` of the frozen Unicode version."""
    codes = [ord(char) for char in text]
    lowered: list[int] = []
    for i, code in enumerate(codes):
        if code == DOTTED_I:
            lowered += [ord("i"), COMBINING_DOT]
        elif code == CAPITAL_SIGMA:
            lowered.append(FINAL_SIGMA if _is_final(codes, i) else SIGMA)
        else:
            lowered.append(code + (entry(code) & DELTA_MASK) - DELTA_ZERO)
    return "".join(map(chr, lowered))


def _is_final(codes: Sequence[int], i: int) -> bool:
    """Unicode's Final_Sigma: a cased letter before, none after, case-ignorable characters passed over."""
    before = next((code for code in reversed(codes[:i]) if not entry(code) & CASE_IGNORABLE), None)
    after = next((code for code in codes[i + 1 :] if not entry(code) & CASE_IGNORABLE), None)
    return before is not None and bool(entry(before) & CASED) and not (after is not None and entry(after) & CASED)


def tokenize(text: str, tokenizer: str = "wordpunct") -> list[str]:
    r"""WordPunct tokens `\w+|[^\w\s]+` of the lower-cased text (reference: NLTK's WordPunctTokenizer).

    With `unicode` letters of scripts without spaces are tokens by themselves.
    """
    runs = groupby(lower(text), key=lambda char: entry(ord(char), tokenizer) >> CLASS_SHIFT & 3)
    tokens: list[str] = []
    for kind, run in runs:
        if kind != SPACE:
            tokens += run if kind == SINGLE else ["".join(run)]
    return tokens


def sha256_bucket(tokens: Sequence[str], buckets: int, token_hash: TokenHash | None = None) -> int:
    """Bucket of an n-gram in the reference (`hash_buckets`): SHA-256 of the tokens joined by spaces, modulo."""
    return int(hashlib.sha256(" ".join(tokens).encode()).hexdigest(), 16) % buckets


def folded_bucket(tokens: Sequence[str], buckets: int, token_hash: TokenHash | None) -> int:
    """Bucket of an n-gram by the default hash, given XXH3-64 of bytes."""
    if token_hash is None:
        raise ValueError("the default hash needs an implementation of XXH3-64")
    folded = 0
    for token in tokens:
        folded = (folded * FOLD + token_hash(token.encode())) % 2**64
    return (folded >> 32) * buckets >> 32


def buckets_of(text: str, settings: FeatureSettings, token_hash: TokenHash | None = None) -> list[list[int]]:
    """Buckets of a document's n-grams: for each order 1..ngrams, in document order.

    Args:
        token_hash: XXH3-64 of bytes as an integer; needed for `hash: xxh3`.
    """
    tokens = tokenize(text, settings.tokenizer)
    bucket_of = function_named(HASHES[settings.hash].reference)
    found = []
    for order in range(1, settings.ngrams + 1):
        grams = [tokens[i : i + order] for i in range(len(tokens) - order + 1)]
        found.append([bucket_of(gram, settings.buckets, token_hash) for gram in grams])
    return found
