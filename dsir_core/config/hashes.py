"""Hashes of n-grams and tokenizers: one entry each, with what is known of them without computing anything.

To add a hash, add an entry, and a branch for its selector to `run_batch` in `dsir_core/features/kernels.py`. To add a
tokenizer, add an entry, and its table of classes to `dsir_core/features/unicode_table.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hash:
    """A hash of n-grams. Functions are named as `module:function`."""

    name: str
    summary: str
    selector: int
    """What the compiled kernel tells it by."""
    reference: str
    """(tokens, buckets, token_hash) -> int: the bucket of an n-gram, in plain Python."""
    is_expensive: bool = False
    """Whether it takes longer to hash a text than to keep its n-grams in memory from counting to scoring."""
    cache: str | None = None
    """() -> uint64[entries, 2]: an empty cache of buckets, one for each thread; None where there is none."""


@dataclass(frozen=True)
class Tokenizer:
    """A way to cut text into tokens."""

    name: str
    summary: str
    splits_unspaced: bool
    """Whether text without spaces between words has tokens shorter than a sentence."""


XXH3 = Hash("xxh3", "the fast one", 0, "dsir_core.features.reference:folded_bucket")
SHA256 = Hash(
    "sha256",
    "that of the reference package",
    1,
    "dsir_core.features.reference:sha256_bucket",
    is_expensive=True,
    cache="dsir_core.features.sha256:new_cache",
)
HASHES = {found.name: found for found in (XXH3, SHA256)}
"""By name, the default first."""

WORDPUNCT = Tokenizer("wordpunct", "words and runs of punctuation, as the reference", splits_unspaced=False)
UNICODE = Tokenizer(
    "unicode",
    "the same, but each ideograph, kana, hangul, Thai, Lao, Khmer or Myanmar letter is a token of its own, for text "
    "without spaces",
    splits_unspaced=True,
)
TOKENIZERS = {found.name: found for found in (WORDPUNCT, UNICODE)}
"""By name, the default first."""
