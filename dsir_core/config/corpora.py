"""Which corpora a run reads."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dsir_core.config.described import Mark

DEFAULT_TARGET = "target"
"""The name of a target that is given none."""


def called(target: str) -> str:
    """A target in messages: by its name, unless that is the default one."""
    return target if target == DEFAULT_TARGET else f"target {target}"


class CorpusSettings(BaseModel):
    """The corpora: what is chosen from, and what it is to be like."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    GROUP: ClassVar = "corpora"

    raw: Annotated[tuple[str, ...], Mark.COMMON] = Field(min_length=1)
    """The raw corpus to choose from: files, directories, globs, `@list.txt`; local paths or fsspec URLs."""

    target: Annotated[dict[str, tuple[str, ...]], Mark.COMMON] = Field(min_length=1)
    """The target corpora: `[NAME=]GLOB`; the same name again adds files to it, no name means `target`."""

    @field_validator("raw", mode="before")
    @classmethod
    def _raw_as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("target", mode="before")
    @classmethod
    def _named_targets(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, dict):
            return {name: (specs,) if isinstance(specs, str) else specs for name, specs in value.items()}
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            return value
        named: dict[str, list[str]] = {}
        for item in value:
            name, spec = split_target(item)
            named.setdefault(name, []).append(spec)
        return named


def split_target(item: str) -> tuple[str, str]:
    """Split `[NAME=]GLOB`. A name has no `/`, `:` or glob character, so URLs with `=` in them stay whole."""
    name, separator, spec = item.partition("=")
    if separator and name and not set(name) & set("/\\:*?[@"):
        return name, spec
    return DEFAULT_TARGET, item
