"""Values of other fields of JSON records than their text: for conditions, strata, keys and scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from dsir_core.corpus.formats.json_records import msgspec_knows
from dsir_core.errors import RequestError

MAX_STRATA = 1000
"""More than this are not strata but names of documents, and would be held in memory."""

Values = list[Any]
"""One value for each field, None where the record has none."""


def field_decoder(fields: Sequence[str]) -> Callable[[bytes], Values | None]:
    """A function from a line to the values of fields (dotted paths); None for a line that is no JSON object.

    What it cannot read, the text's decoder refuses, too, and says why.
    """
    paths = [name.split(".") for name in fields]
    if not msgspec_knows(fields):
        return lambda line: _slowly(line, paths)
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for part in path[:-1]:
            # Where an outer field is wanted whole, the inner one is found in it.
            node = node.setdefault(part, {}) if isinstance(node.get(part, {}), dict) else {}
        node[path[-1]] = None
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(_struct(tree, "Fields")).decode

    def values(line: bytes) -> Values | None:
        try:
            record = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _slowly(line, paths)
        return [_follow(record, path) for path in paths]

    return values


def _slowly(line: bytes, paths: list[list[str]]) -> Values | None:
    try:
        record = json.loads(line.decode(), parse_int=_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    return [_text_or_other(_follow(record, path)) for path in paths]


def _text_or_other(value: Any) -> Any:
    """Half of a surrogate pair, which JSON can hold and UTF-8 cannot, makes no text."""
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return None
    return value


def _number(digits: str) -> int | float:
    """Python refuses integers of thousands of digits."""
    return int(digits) if len(digits) < 1000 else float(digits)


def _struct(tree: dict[str, Any], name: str) -> type:
    """Of a tree of fields; a leaf may be anything."""
    fields = []
    for i, (key, below) in enumerate(tree.items()):
        kind: Any = Any if not below else _struct(below, f"{name}_{i}") | None
        fields.append((_attribute(key), kind, None))
    return msgspec.defstruct(name, fields, rename={_attribute(key): key for key in tree})


def _attribute(key: str) -> str:
    """An identifier for any key."""
    return "f_" + key.encode().hex()


def _follow(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, msgspec.Struct):
            value = getattr(value, _attribute(part), None)
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value


def stratum_of(value: Any) -> str:
    """The stratum that a field's value names: text as it is, all else as JSON; "" where there is none."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(msgspec.to_builtins(value), default=str, sort_keys=True)


def check_strata(names: Collection[str], field: str | None, where: str) -> None:
    """Refuse a field with too many values.

    Raises:
        RequestError: there are too many strata.
    """
    if len(names) > MAX_STRATA:
        raise RequestError(
            f"strata: the field {field!r} has over {MAX_STRATA:,} values in {where}: choose one with fewer"
        )
