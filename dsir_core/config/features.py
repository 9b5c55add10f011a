"""How documents become buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dsir_core.config.described import one_of
from dsir_core.config.hashes import HASHES, TOKENIZERS, Hash, Tokenizer


def _help(entries: Mapping[str, Hash] | Mapping[str, Tokenizer]) -> str:
    return "; ".join(f"{one.name}: {one.summary}" for one in entries.values()) + "."


class FeatureSettings(BaseModel):
    """Hashed n-gram features. Everything here is part of a checkpoint's key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    GROUP: ClassVar = "features"

    ngrams: int = Field(default=2, ge=1, le=8)
    """Longest n-gram; all orders from 1 to this are features."""

    tokenizer: str = Field(default="unicode", description=_help(TOKENIZERS), json_schema_extra=one_of(TOKENIZERS))

    buckets: int = Field(default=10_000, ge=2, le=2**20)
    """Number of buckets that n-grams are hashed into."""

    hash: str = Field(
        default="xxh3", description=f"Hash of an n-gram; {_help(HASHES)}", json_schema_extra=one_of(HASHES)
    )

    @field_validator("tokenizer")
    @classmethod
    def _known_tokenizer(cls, value: str) -> str:
        return _known(value, TOKENIZERS)

    @field_validator("hash")
    @classmethod
    def _known_hash(cls, value: str) -> str:
        return _known(value, HASHES)


def _known(value: str, entries: Mapping[str, Hash] | Mapping[str, Tokenizer]) -> str:
    if value not in entries:
        raise ValueError(f"must be one of {', '.join(entries)}")
    return value
