"""Columns of Arrow tables by dotted path: their values, and whether they are there."""

from __future__ import annotations

import difflib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsir_core.corpus.types import SourceFile
from dsir_core.errors import MissingFieldError, RequestError
from dsir_core.urls import without_credentials

FIELD_SETTINGS = "whichever of include, exclude, strata, weights, --where and --key names it"


def column_of(table: pa.Table, name: str) -> pa.Array:
    """A column as one array, without dictionary."""
    outer, *inner = name.split(".")
    values = table.column(outer).combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks else pa.array([], values.type)
    if inner:
        values = pc.struct_field(values, inner)
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def values_of(table: pa.Table, name: str) -> list[Any]:
    """A column's values as Python objects, see `plain_values`."""
    return plain_values(column_of(table, name))


def plain_values(values: pa.Array) -> list[Any]:
    """Values as Python objects; bytes are taken for text, and are None where they are no UTF-8."""
    try:
        found: list[Any] = (values.cast(pa.large_string()) if _is_text(values.type) else values).to_pylist()
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return [_value_of(scalar) for scalar in values]
    return found


def _value_of(scalar: Any) -> Any:
    try:
        value = scalar.as_py()
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None


def type_of(file: SourceFile, schema: pa.Schema, name: str, setting: str = FIELD_SETTINGS) -> pa.DataType:
    """A column's type.

    Raises:
        RequestError: there is none, or several, of that name; names the nearest.
    """
    kind: Any = pa.struct(list(schema))
    url = without_credentials(file.url)
    for part in name.split("."):
        indices = kind.get_all_field_indices(part) if pa.types.is_struct(kind) else []
        if len(indices) > 1:
            raise RequestError(f"{url}: column {part!r} occurs {len(indices)} times")
        if not indices:
            raise no_column(file, schema.names, name, setting)
        kind = kind.field(indices[0]).type
    return kind


def no_column(file: SourceFile, names: list[str], name: str, setting: str = FIELD_SETTINGS) -> MissingFieldError:
    """The error that a file has no such column; names the nearest."""
    near = difflib.get_close_matches(name, names, 3, 0.5) or names[:5]
    nearest = " or ".join(map(repr, near))
    return MissingFieldError(f"{without_credentials(file.url)}: no column {name!r}; is it {nearest}? Set {setting}")


def check_text(file: SourceFile, schema: pa.Schema, names: tuple[str, ...]) -> None:
    """Refuse text fields that are not text columns.

    Raises:
        RequestError: a text field is no column, or no text.
    """
    for name in names:
        kind = type_of(file, schema, name, "--text-field")
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not _is_text(plain):
            raise RequestError(
                f"{without_credentials(file.url)}: column {name!r} is {plain}, not text; set --text-field"
            )


def _is_text(kind: pa.DataType) -> bool:
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
               pa.types.is_large_binary, pa.types.is_string_view, pa.types.is_binary_view))  # fmt: skip
