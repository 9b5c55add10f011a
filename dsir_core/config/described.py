"""What help pages, forms and error messages say of a setting, read from its declaration."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo


class Mark(Enum):
    """What a setting is marked with, as in `Annotated[int, Mark.COMMON]`."""

    COMMON = auto()
    """A new user needs it: `--help` shows it, and forms begin with it."""
    CHOOSES = auto()
    """Of use only where documents are chosen, not where they are only scored."""
    WRITES = auto()
    """Of use only where a selection is written."""


def groups_of(config: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The classes that a configuration joins, by the title of their group (`GROUP`), in the order of its bases."""
    return {base.GROUP: base for base in config.__bases__ if issubclass(base, BaseModel) and hasattr(base, "GROUP")}


def marked(config: type[BaseModel], *marks: Mark) -> tuple[str, ...]:
    """Names of the settings with any of some marks, in the order of their groups."""
    return tuple(
        name
        for owner in groups_of(config).values()
        for name, field in owner.model_fields.items()
        if any(mark in field.metadata for mark in marks)
    )


def kinds_of(annotation: Any) -> set[Any]:
    """The plain types and literal values that an annotation allows, without None."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return {kind for part in get_args(annotation) for kind in kinds_of(part)} - {type(None)}
    if origin is Literal:
        return set(get_args(annotation))
    if origin is Annotated:
        return kinds_of(get_args(annotation)[0])
    return {origin or annotation}


def is_model(kind: Any) -> bool:
    """Whether a kind is a group of settings of its own."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def one_of(registry: Mapping[str, Any]) -> Callable[[JsonDict], None]:
    """As `json_schema_extra` of a setting: its values are the names in a registry, also those added later."""

    def extend(schema: JsonDict) -> None:
        schema["enum"] = list(registry)

    return extend


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a setting takes; others may be allowed, too, such as numbers."""
    schema: JsonDict = {}
    if callable(field.json_schema_extra):
        field.json_schema_extra(schema)
    words = [*kinds_of(field.annotation), *cast(list[Any], schema.get("enum", []))]
    return tuple(sorted(word for word in words if isinstance(word, str)))


def takes(name: str, field: FieldInfo) -> str:
    """What a setting takes, as help shows it: `auto|raw_prior=N|N`."""
    kinds = kinds_of(field.annotation)
    if dict in kinds:
        return "".join(f"{word}|" for word in choices_of(field)) + "NAME=SHARE"
    if kinds and all(map(is_model, kinds)):
        return "KEY=VALUE"
    pairs = [f"{key}=N" for kind in kinds if is_model(kind) for key in kind.model_fields]
    return "|".join([*choices_of(field), *pairs, *(["N"] if kinds & {int, float} else [])]) or name.upper()


def shown_default(field: FieldInfo) -> str:
    """The default of a setting; empty where it is required, off, or explained by its description."""
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default is None or default is False or default == "":
        return ""
    return " ".join(default) if isinstance(default, tuple) else str(default)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known word is like it."""
    near = nearest(word, known)
    return "" if near is None else f"; did you mean {near}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like another; None where none is like it."""
    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)
