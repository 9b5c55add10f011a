"""Every setting: what it means, its type and default, and what runs again when it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dsir_core.config.described import groups_of
from dsir_core.config.request import SelectConfig
from scripts.reference.reruns import MEASURED

MIB = 2**20


def settings_page() -> str:
    """Every setting: what it means, its type and default, and what runs again when it changes."""
    properties = SelectConfig.model_json_schema()
    reruns: Mapping[str, str] = json.loads(MEASURED.read_text(encoding="utf-8"))
    lines = [SETTINGS_INTRODUCTION]
    for title, owner in groups_of(SelectConfig).items():
        lines.append(f"## {title.capitalize()}\n")
        for name in owner.model_fields:
            lines += _setting(name, SelectConfig.model_fields[name], properties, reruns)
    return "\n".join(lines)


SETTINGS_INTRODUCTION = """\
# Settings

Each setting is a key of the YAML file, a field of the deployments' form, a keyword of `dsir_core.select`, and a flag
of the command: `min_tokens` is the key and the keyword, `--min-tokens` the flag. In YAML, `min-tokens` works as well.
All settings exist since 0.1.0.

*Runs again* lists the stages that cannot use the checkpoints of an earlier run in the same workdir after the setting
has changed. It was measured, and a test checks it. Even a listed stage is skipped where its inputs come out the same
as before. `plan`, `fit` and `report` always run; they take seconds.
"""


def _setting(name: str, field: FieldInfo, schema: Mapping[str, Any], reruns: Mapping[str, str]) -> Iterator[str]:
    yield f"### `{name}` {{#{name}}}\n"
    yield " ".join((field.description or "").split()) + "\n"
    yield f"- Type: {_type(schema['properties'][name], schema)}"
    yield f"- Default: {_default(name, field)}"
    yield f"- Runs again: {reruns[name] or 'nothing'}"
    for value, stages in reruns.items():
        if value.startswith(f"{name}="):
            yield f"- Runs again when it changes to or from `{value.partition('=')[2]}`: {stages}"
    yield ""
    for nested in _models(field.annotation):
        yield f"Keys of `{name}`:\n"
        for key, inner in nested.model_fields.items():
            text = " ".join((inner.description or "").split())
            default = "required" if inner.is_required() else f"default {_default(key, inner)}"
            yield f"- `{key}` ({_type(nested.model_json_schema()['properties'][key], schema)}, {default}): {text}"
        yield ""


def _models(annotation: Any) -> list[type[BaseModel]]:
    parts = getattr(annotation, "__args__", (annotation,))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _type(schema: Any, whole: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_type(part, whole) for part in schema["anyOf"] if part.get("type") != "null")
    if "$ref" in schema:
        return "mapping, see below"
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    match schema["type"]:
        case "array":
            return "one or more strings"
        case "object":
            return f"mapping of names to {_type(schema['additionalProperties'], whole)}"
    return str(schema["type"]) + "".join(
        f" {sign} {schema[key]:,}"
        for key, sign in {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}.items()
        if key in schema
    )


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if name.endswith("_bytes"):
        return f"`{value}` ({value // MIB} MiB)"
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{' '.join(value) if isinstance(value, tuple) else value}`"
