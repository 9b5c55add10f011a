"""A YAML file of settings: what it gives, and in which line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dsir_core.errors import RequestError

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class ConfigFile:
    """The settings of a file, with `-` in keys as `_`."""

    path: str
    values: dict[str, Any]
    lines: dict[str, int]
    """In which line each key stands, from 1."""

    def place(self, name: str) -> str:
        """Where a setting stands, for messages."""
        return f"{self.path}:{self.lines[name]}: {name}"


def read_config(path: str) -> ConfigFile:
    """Read settings from a YAML file.

    Raises:
        RequestError: the file is missing, is not YAML, is not a mapping, or gives a setting twice.
    """
    hint = "" if path.lower().endswith(SUFFIXES) else "; settings are read from it: name corpora by --raw and --target"
    try:
        text = Path(path).read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}{hint}") from None
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: not YAML: byte {error.start} is not UTF-8{hint}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else path
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise RequestError(f"{place}: not YAML: {said}{hint}") from None
    if not isinstance(values, dict):
        found = "empty" if values is None else f"this is a {type(values).__name__}"
        raise RequestError(f"{path}: settings are `key: value` lines, {found}{hint}")
    return ConfigFile(path, {_name(key): value for key, value in values.items()}, _lines(path, node))


def _lines(path: str, node: Any) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        name, line = _name(key.value), key.start_mark.line + 1
        if name in lines:
            raise RequestError(f"{path}:{line}: {name}: given twice, first in line {lines[name]}")
        lines[name] = line
    return lines


def _name(key: object) -> str:
    return str(key).replace("-", "_")
