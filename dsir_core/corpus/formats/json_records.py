"""From a line of JSON to its text: a fast decoder, and a slow one that knows why a record is bad.

A record means what `json.loads` of its line means (the reference reads records so). The fast decoder materialises only
the text fields; what it refuses goes to the slow one, which gives the text after all or the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dsir_core.config.reading import ReadSettings

JOINT = "\n"
"""Between several text fields."""

TOO_LARGE = "record is larger than max_record_bytes"

KINDS = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}


class BadRecordError(ValueError):
    """A record has no text; the message is the reason."""


def text_decoder(settings: ReadSettings) -> Callable[[bytes], str]:
    """A function from a line to its text, which raises `BadRecordError` where there is none."""
    fields = settings.text_field
    if not msgspec_knows(fields):
        return lambda line: slow_text(line, fields)
    fast = _fast_decoder(fields)

    def decode(line: bytes) -> str:
        try:
            return fast(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return slow_text(line, fields)

    return decode


def slow_text(line: bytes, fields: tuple[str, ...]) -> str:
    """The text of a line by the standard library's JSON.

    Raises:
        BadRecordError: with the reason.
    """
    try:
        # Python refuses integers of thousands of digits, which the fast decoder passes over; it takes floats.
        record = json.loads(line.decode(), parse_int=float)
    except UnicodeDecodeError as error:
        raise BadRecordError(f"invalid UTF-8: byte {error.start} of the record") from None
    except json.JSONDecodeError as error:
        raise BadRecordError(f"invalid JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:
        raise BadRecordError(f"invalid JSON: {type(error).__name__}") from None
    return JOINT.join(_field(record, name) for name in fields)


def _field(record: Any, name: str) -> str:
    value = record
    for part in name.split("."):
        if not isinstance(value, dict):
            raise BadRecordError("not an object" if value is record else f"{name} is missing")
        if part not in value:
            raise BadRecordError(f"{name} is missing")
        value = value[part]
    if value is None:
        raise BadRecordError(f"{name} is null")
    if not isinstance(value, str):
        raise BadRecordError(f"{name} is {KINDS.get(type(value), 'not text')}, not a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRecordError(f"{name} holds half of a surrogate pair") from None
    return value


def msgspec_knows(fields: Sequence[str]) -> bool:
    """Whether msgspec, the fast decoder, can look for fields: not where JSON has to escape a character of the name."""
    return all(json.dumps(name, ensure_ascii=False) == f'"{name}"' and _is_text(name) for name in fields)


def _is_text(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _fast_decoder(fields: tuple[str, ...]) -> Callable[[bytes], str]:
    tree: dict[str, Any] = {}
    for name in fields:
        node = tree
        *outer, last = name.split(".")
        for part in outer:
            node = node.setdefault(part, {})
        node[last] = str
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_struct(tree, "Record"))
    paths = [[_attribute(part) for part in name.split(".")] for name in fields]
    if len(paths) == 1 and len(paths[0]) == 1:
        (attribute,) = paths[0]
        decode = decoder.decode
        return lambda line: getattr(decode(line), attribute)
    return lambda line: JOINT.join(_follow(decoder.decode(line), path) for path in paths)


def _struct(tree: dict[str, Any], name: str) -> type:
    fields = [
        (_attribute(key), str if kind is str else _struct(kind, f"{name}_{i}"))
        for i, (key, kind) in enumerate(tree.items())
    ]
    return msgspec.defstruct(name, fields, rename={_attribute(key): key for key in tree})


def _attribute(key: str) -> str:
    """An identifier for any key."""
    return "f_" + key.encode().hex()


def _follow(value: Any, path: list[str]) -> str:
    for attribute in path:
        value = getattr(value, attribute)
    return str(value)
