"""Flags of the command, made from the fields of `SelectConfig`: one name, default and help text for flag and key."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from pydantic.fields import FieldInfo

from dsir_core.config.described import Mark, choices_of, groups_of, is_model, kinds_of, marked, shown_default, takes
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RequestError
from flows.config_file import ConfigFile, read_config
from flows.parser import Parser

SIZES = ("count", "tokens", "fraction")
PLACES = ("raw", "target", "output", "workdir")
"""Settings that name files or directories."""


def add_options(parser: Parser, *, hidden: Collection[str] = ()) -> None:
    """Add CONFIG.yaml and a flag for every field of a request.

    Args:
        hidden: settings that the command accepts, so that one CONFIG.yaml serves all, but has no use for.
    """
    parser.usage = f"{parser.prog} [CONFIG.yaml] [options]"
    config = parser.add_argument(
        "config", nargs="?", metavar="CONFIG.yaml", help="settings from a file; flags given here win over it"
    )
    _complete_files(parser, config)
    common = marked(SelectConfig, Mark.COMMON)
    first = parser.add_argument_group("common settings")
    for title, owner in groups_of(SelectConfig).items():
        group = parser.add_argument_group(title) if parser.shows_all else first
        for name, field in owner.model_fields.items():
            text = _help(field) if name in common else parser.rare(_help(field))
            _add(parser, group, name, field, argparse.SUPPRESS if name in hidden else text)


def add_storage_options(parser: Parser) -> None:
    """Add the flags that say how object storage is reached."""
    group = parser.add_argument_group(StorageSettings.GROUP)
    for name, field in StorageSettings.model_fields.items():
        _add(parser, group, name, field, _help(field))


def storage_of(arguments: argparse.Namespace) -> StorageSettings:
    """The storage settings that flags give."""
    given = {name: getattr(arguments, name) for name in StorageSettings.model_fields}
    return StorageSettings(**{name: value for name, value in given.items() if value is not None})


def config_of(
    arguments: argparse.Namespace, *, base: ConfigFile | None = None, without: Collection[str] = (), **needs: bool
) -> SelectConfig:
    """The request that a YAML file and flags make; messages name the flag, or the line of the file.

    Args:
        base: what stands in for the file.
        without: keys and flags that are of the command alone.
        needs: see `parse_config`.

    Raises:
        RequestError: the file cannot be read, or a setting is wrong.
    """
    file = base or (read_config(arguments.config) if arguments.config else None)
    values = {name: value for name, value in request_values(arguments, file).items() if name not in without}
    if not values:
        raise RequestError(
            "nothing is asked for: give a CONFIG.yaml, or --raw, --target, --output and --count; "
            f"dsir {arguments.command} --help has examples"
        )

    def called(name: str) -> str:
        if file is not None and name in file.lines and getattr(arguments, name, None) is None:
            return file.place(name)
        return f"--{name.replace('_', '-')}"

    return parse_config(values, called=called, **needs)


def request_values(arguments: argparse.Namespace, file: ConfigFile | None) -> dict[str, Any]:
    """Keys and values of a request: those of the YAML file, with the flags over them."""
    values = dict(file.values) if file else {}
    values.pop("cluster", None)  # who does the work, see `cluster_options`: not what is to be done
    flags = {name: getattr(arguments, name, None) for name in SelectConfig.model_fields}
    given = {name: value for name, value in flags.items() if value is not None}
    # What is said on the command line replaces what contradicts it in the file.
    if any(name in given for name in SIZES):
        values = {name: value for name, value in values.items() if name not in SIZES}
    if given.get("inline"):
        values.pop("workers", None)
    elif "workers" in given or getattr(arguments, "cluster", None):
        values.pop("inline", None)
    return values | given


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    default = shown_default(field)
    return f"{text} [{default}]" if default else text


def _add(parser: Parser, group: argparse._ArgumentGroup, name: str, field: FieldInfo, text: str) -> None:
    flag = "--" + name.replace("_", "-")
    kinds = kinds_of(field.annotation)
    if kinds == {bool}:
        group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif tuple in kinds or name == "target":
        many = {"raw": "GLOB", "target": "[NAME=]GLOB"}.get(name, "NAME")
        action = group.add_argument(flag, dest=name, nargs="+", action="extend", metavar=many, help=text)
        if name in PLACES:
            _complete_files(parser, action)
    elif dict in kinds or all(map(is_model, kinds)):
        group.add_argument(flag, dest=name, nargs="+", action=_Pairs, metavar=takes(name, field), help=text)
    else:
        kind = _number if kinds & {int, float} else str
        action = group.add_argument(flag, dest=name, metavar=takes(name, field), type=kind, help=text)
        if parser.completes:
            action.choices = choices_of(field) or None
            if name in PLACES:
                _complete_files(parser, action)


def _complete_files(parser: Parser, action: argparse.Action) -> None:
    if parser.completes:
        import shtab

        action.complete = shtab.FILE  # type: ignore[attr-defined]


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
