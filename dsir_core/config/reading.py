"""How records become documents."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from dsir_core.config.described import Mark
from dsir_core.config.numbers import byte_count
from dsir_core.config.predicate import parse_predicate


class Chunking(BaseModel):
    """How documents are cut into chunks."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    words: int = Field(ge=1, le=10**6)
    """Words of a chunk, between white space; the last chunk of a document may have fewer."""


class ReadSettings(BaseModel):
    """How records become documents. Everything here is part of a checkpoint's key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    GROUP: ClassVar = "reading"

    text_field: Annotated[tuple[str, ...], Mark.COMMON] = Field(default=("text",), min_length=1)
    """Field that holds a record's text: a name or a dotted path; several are joined by a newline."""

    @field_validator("text_field", mode="before")
    @classmethod
    def _text_field_as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("text_field")
    @classmethod
    def _no_field_inside_another(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(all(name.split(".")) for name in value):
            raise ValueError("a field has no name")
        for name in value:
            if any(other != name and other.startswith(f"{name}.") for other in value) or value.count(name) > 1:
                raise ValueError(f"{name!r} is named twice, or holds another of the fields")
        return value

    max_record_bytes: Annotated[int, BeforeValidator(byte_count)] = Field(default=256 * 2**20, ge=1)
    """Records of more bytes than this, also as 64MB or 1GiB, are bad; no more than this is held in memory of one
    record."""

    include: str | None = None
    """Read only raw records that meet this condition: 'lang == "en" and (score > 0.5 or source in ["a", "b"])'."""

    exclude: str | None = None
    """Leave out raw records that meet this condition."""

    chunk: Chunking | None = None
    """Cut raw documents into chunks of equal word count and select chunks, as in the paper: words=128."""

    @field_validator("include", "exclude")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        if value is not None:
            parse_predicate(value)
        return value

    @property
    def unfiltered(self) -> ReadSettings:
        """The same without conditions, which are on raw alone; documents are cut into chunks as those of raw."""
        return self.model_copy(update={"include": None, "exclude": None})

    @property
    def unconditional(self) -> ReadSettings:
        """The same for targets, and for records that are known to be wanted."""
        return self.unfiltered.model_copy(update={"chunk": None})
