"""The settings of a report, to run the same request again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter

from dsir_core.config.request import SelectConfig

_JSON: TypeAdapter[Any] = TypeAdapter(Any)


def not_default(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from this version's defaults, in the order of its settings.

    Args:
        config: of report.json; keys that this version does not know are left out.
    """
    return {
        name: config[name]
        for name, field in SelectConfig.model_fields.items()
        if name in config and (field.is_required() or config[name] != _default(name))
    }


def as_yaml(config: Mapping[str, Any]) -> str:
    """A file that `dsir select` takes, of the settings that differ from this version's defaults."""
    return all_as_yaml(not_default(config))


def all_as_yaml(config: Mapping[str, Any]) -> str:
    """All settings of a report."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)


def _default(name: str) -> Any:
    return _JSON.dump_python(SelectConfig.model_fields[name].get_default(call_default_factory=True), mode="json")
