"""How documents become buckets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HashName = Literal["xxh3", "sha256"]
TokenizerName = Literal["wordpunct", "unicode"]


class FeatureSettings(BaseModel):
    """Hashed n-gram features. Everything here is part of a checkpoint's key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    ngrams: int = Field(default=2, ge=1, le=8)
    """Longest n-gram: all orders from 1 to this are features."""

    tokenizer: TokenizerName = "wordpunct"
    """wordpunct: words and runs of punctuation, as the reference; unicode: the same, but each ideograph, kana, hangul,
    Thai, Lao, Khmer or Myanmar letter is a token: for text without spaces, which wordpunct takes for long words."""

    buckets: int = Field(default=10_000, ge=2, le=2**20)
    """Number of buckets that n-grams are hashed into."""

    hash: HashName = "xxh3"
    """Hash of an n-gram: xxh3 is the fast one, sha256 that of the reference package."""
