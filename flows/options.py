"""Flags of the command, made from the fields of `SelectConfig`: one name, default and help text for flag and key."""

from __future__ import annotations

import argparse
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import SelectConfig
from dsir_core.config.settings import (
    BudgetSettings,
    FitSettings,
    OutputSettings,
    RuntimeSettings,
    SampleSettings,
    ShardSettings,
    WeightSettings,
)
from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RequestError

GROUPS: dict[str, type[BaseModel]] = {
    "sample": SampleSettings,
    "features": FeatureSettings,
    "model": FitSettings,
    "weights": WeightSettings,
    "reading": ReadSettings,
    "output": OutputSettings,
    "failures": BudgetSettings,
    "shards": ShardSettings,
    "object storage": StorageSettings,
    "runtime": RuntimeSettings,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG.yaml and a flag for every field of a request."""
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG.yaml", help="settings from a file; flags given here win over it"
    )
    fields = dict(SelectConfig.model_fields)
    corpora = parser.add_argument_group("corpora")
    _add(corpora, "raw", fields.pop("raw"))
    _add(corpora, "target", fields.pop("target"))
    _add(corpora, "preset", fields.pop("preset"))
    for title, owner in GROUPS.items():
        group = parser.add_argument_group(title)
        for name in owner.model_fields:
            _add(group, name, fields.pop(name))
            if name == "output":
                _add(group, "workdir", fields.pop("workdir"))
    assert not fields, f"fields without a flag: {sorted(fields)}"


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how object storage is reached."""
    group = parser.add_argument_group("object storage")
    for name, field in StorageSettings.model_fields.items():
        _add(group, name, field)


def storage_of(arguments: argparse.Namespace) -> StorageSettings:
    """The storage settings that flags give."""
    given = {name: getattr(arguments, name) for name in StorageSettings.model_fields}
    return StorageSettings(**{name: value for name, value in given.items() if value is not None})


def request_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Keys and values of a request: those of the YAML file, with the flags over them.

    Raises:
        RequestError: the file is missing, is not YAML, or is not a mapping.
    """
    values = read_yaml(arguments.config) if arguments.config else {}
    values.pop("cluster", None)  # who does the work, see `cluster_options`: not what is to be done
    for name in SelectConfig.model_fields:
        given = getattr(arguments, name, None)
        if given is not None:
            values[name] = given
    sizes = [name for name in ("count", "tokens", "fraction") if getattr(arguments, name, None) is not None]
    if sizes:  # a size on the command line replaces the one in the file, whatever its unit
        values = {k: v for k, v in values.items() if k not in ("count", "tokens", "fraction") or k in sizes}
    return values


def read_yaml(path: str) -> dict[str, Any]:
    """The settings in a YAML file, with `-` in keys as `_`."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RequestError(f"{path}: settings are `key: value` lines, this is a {type(values).__name__}")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _add(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    flag = "--" + name.replace("_", "-")
    text = (field.description or "").replace("%", "%%")
    default = field.get_default(call_default_factory=True)
    kinds = _kinds(field.annotation)
    is_off = default is None or default is False or default == ""  # 0 is a default like any other
    if not field.is_required() and not is_off:
        shown = " ".join(default) if isinstance(default, tuple) else default
        text += f" [{shown}]"
    if kinds == {bool}:
        group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif tuple in kinds or name == "target":
        many = {"raw": "GLOB", "target": "[NAME=]GLOB"}.get(name, "NAME")
        group.add_argument(flag, dest=name, nargs="+", action="extend", metavar=many, help=text)
    elif dict in kinds:
        words = [f"{kind}|" for kind in sorted(kind for kind in kinds if isinstance(kind, str))]
        group.add_argument(flag, dest=name, nargs="+", action=_Pairs, metavar="".join(words) + "NAME=SHARE", help=text)
    elif all(map(_is_model, kinds)):
        group.add_argument(flag, dest=name, nargs="+", action=_Pairs, metavar="KEY=VALUE", help=text)
    else:
        listed = field.json_schema_extra.get("enum") if isinstance(field.json_schema_extra, dict) else None
        choices = [kind for kind in (*kinds, *(listed if isinstance(listed, list) else ())) if isinstance(kind, str)]
        numeric = kinds & {int, float}
        pairs = [f"{key}=N" for kind in kinds if _is_model(kind) for key in kind.model_fields]
        metavar = "|".join([*sorted(choices), *pairs, *(["N"] if numeric else [])]) or name.upper()
        group.add_argument(flag, dest=name, metavar=metavar, type=_number if numeric else str, help=text)


def _kinds(annotation: Any) -> set[Any]:
    """The plain types and literal values that an annotation allows."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return {kind for part in get_args(annotation) for kind in _kinds(part)} - {type(None)}
    if origin is Literal:
        return set(get_args(annotation))
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    return {origin or annotation}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _number(text: str) -> Any:
    """A number where it is one (`1e6` and `10_000` too); pydantic judges the rest."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return int(value) if value == value // 1 and "e" in text.lower() and abs(value) < 2**53 else value
    return text


class _Pairs(argparse.Action):
    """Collects NAME=VALUE into a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """See argparse."""
        if len(values) == 1 and "=" not in values[0]:  # a word of its own, as in --quotas raw
            setattr(namespace, self.dest, values[0])
            return
        found = getattr(namespace, self.dest, None)
        pairs = dict(found) if isinstance(found, dict) else {}
        for value in values:
            name, separator, share = value.partition("=")
            if not separator:
                parser.error(f"{option_string}: {value!r} is not {self.metavar}")
            pairs[name] = _number(share)
        setattr(namespace, self.dest, pairs)
