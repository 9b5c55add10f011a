"""A request as the form that Prefect's UI makes of its JSON schema: a few fields, and all others under `advanced`.

The schema is also what the server refuses a run by (`enforce_parameter_schema`). Callers of the API may give each
setting by its own name, as in a YAML file, or in its group under `advanced`, as the form does.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler

from dsir_core.config.described import groups_of
from dsir_core.config.numbers import BYTE_COUNT, SHARE, WHOLE_NUMBER
from dsir_core.config.presets import PRESETS
from dsir_core.config.request import SelectConfig

FIRST = ("raw", "target", "output", "count", "tokens", "fraction", "preset", "text_field")
"""The settings that stand in the form itself."""

ADVANCED = "advanced"

GROUPS = {
    title.replace(" ", "_"): fields
    for title, owner in groups_of(SelectConfig).items()
    if (fields := tuple(name for name in owner.model_fields if name not in FIRST))
}
"""Names of the settings under `advanced`, by the name of their group."""

WORDS = {
    "target": "The target corpora as JSON, each name with its files: "
    '{"wiki": ["s3://lake/wiki.jsonl"], "books": ["books/*.gz"]}',
    "quotas": "How the selection is divided among strata: as in raw, as in target, or by shares as JSON: "
    '{"news": 1, "law": 3}; where no size is given, these are numbers of documents.',
    "proportions": 'Share of the selection for each separate target as JSON: {"wiki": 2, "books": 1}; default: by '
    "their n-grams, as the reference.",
    "match": "As separate, but each target first takes of the documents that are nearest to it, then of the rest, so "
    "that the selection meets the proportions; default proportions: the targets' own, in documents (with a size in "
    "tokens: in tokens).",
    "weights": "Scores from elsewhere as weights, of the records or of a table; alone, or added to the n-gram log "
    "weight.",
    "smoothing": "Added to the target's counts: a number to every bucket (Laplace; 0 is the reference), a prior in the "
    "proportions of raw, or auto: what recovers most held-out target documents.",
    "chunk": "Cut raw documents into chunks of equal word count, which are then selected; the paper has 128 words.",
}
"""Where the command's help speaks of how flags are written."""

WRITTEN = {
    "count": ("as 10k or 2M", WHOLE_NUMBER),
    "tokens": ("as 10k or 2M", WHOLE_NUMBER),
    "fraction": ("as 5%", SHARE),
    "max_bad_fraction": ("as 5%", SHARE),
    "max_record_bytes": ("as 64MB or 1GiB", BYTE_COUNT),
    "shard_bytes": ("as 64MB or 1GiB", BYTE_COUNT),
    "keep_bytes": ("as 64MB or 1GiB", BYTE_COUNT),
}
"""Numbers that may be texts, too: how they are written then."""

ONE_SIZE = "Give one of count, tokens and fraction, or quotas in numbers of documents."

NULL: dict[str, Any] = {"type": "null"}
NO_NUMBERS = {"type": ["null", "string"]}
"""Of `quotas`: none, or `raw` and `target`, which divide a size and give none."""

NO_QUOTAS = {"properties": {"sample": {"properties": {"quotas": NO_NUMBERS}}}}

SIZED: dict[str, Any] = {
    "if": {"properties": {"count": NULL, "tokens": NULL, "fraction": NULL, "quotas": NO_NUMBERS, ADVANCED: NO_QUOTAS}},
    "then": {"properties": {"count": {"type": ["integer", "string"]}}, "required": ["count"]},
    "else": {
        "if": {"not": {"properties": {"tokens": NULL}}},
        "then": {"properties": {"count": NULL, "fraction": NULL}},
        "else": {
            "if": {"not": {"properties": {"fraction": NULL}}},
            "then": {"properties": {"count": NULL}},
        },
    },
}
"""How much is to be selected is said, and said once. The UI knows neither `if` nor `then` and makes its form without
them (of `anyOf` it would make tabs); the server refuses the run by them, and names the field. No condition says
`required`, for the server takes those out when it looks at a deployment's own parameters."""


def flattened(values: Any) -> Any:
    """A request with the settings under `advanced` beside the others.

    Raises:
        ValueError: there is no such group, or a setting is given twice.
    """
    if not isinstance(values, dict) or ADVANCED not in values:
        return values
    given = {name: value for name, value in values.items() if name != ADVANCED}
    for group, settings in (values[ADVANCED] or {}).items():
        if group not in GROUPS:
            raise ValueError(f"{ADVANCED}: no group {group}, only {', '.join(GROUPS)}")
        for name, value in (settings or {}).items():
            if name in given:
                raise ValueError(f"{name}: given twice, the second time under {ADVANCED}.{group}")
            given[name] = value
    return given


class Form:
    """Annotates `SelectConfig` where it is the parameter of a flow.

    What `parse_config` asks beyond the model, a schema can say as well: where the selection goes, and how much it is.

    Args:
        selects: whether the flow writes a selection; else a workdir is enough.
    """

    def __init__(self, *, selects: bool) -> None:
        self.selects = selects

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """See pydantic."""
        schema = handler(core)
        form = handler.resolve_ref_schema(schema)
        fields = form["properties"]
        for field in fields.values():
            if "description" in field:
                field["description"] = " ".join(field["description"].split())
        for name in {name for settings in PRESETS.values() for name in settings}:
            fields[name].pop("default", None)  # the form sends defaults as if they were given: no preset could win
        for name, (title, pattern) in WRITTEN.items():
            fields[name] = _or_text(fields[name], title, pattern)
        for name, words in WORDS.items():
            fields[name]["description"] = words
        if self.selects:
            form["required"] = [*form["required"], "output"]
            fields["output"] |= {"minLength": 1}
            fields["output"].pop("default", None)
            fields["count"]["description"] += f" {ONE_SIZE}"
            form |= SIZED
        form["properties"] = {name: fields[name] for name in FIRST} | {ADVANCED: _advanced(fields)}
        # The UI shows no field for these.
        form["patternProperties"] = {f"^{name}$": fields[name] for names in GROUPS.values() for name in names}
        return schema


def _or_text(field: dict[str, Any], title: str, pattern: str) -> dict[str, Any]:
    """A field for a number that takes it as a text, too; the form shows a button for each way."""
    text = {"type": "string", "title": title, "pattern": pattern}
    if "anyOf" in field:
        return field | {"anyOf": [field["anyOf"][0], text, *field["anyOf"][1:]]}
    described = {key: value for key, value in field.items() if key in ("title", "description", "default")}
    number = {key: value for key, value in field.items() if key not in ("title", "description", "default")}
    return described | {"anyOf": [number, text]}


def _advanced(fields: dict[str, Any]) -> dict[str, Any]:
    groups = {
        group: _group(group.replace("_", " ").capitalize(), {name: copy.deepcopy(fields[name]) for name in names})
        for group, names in GROUPS.items()
    }
    return _group("Settings", groups) | {"title": "Advanced", "description": "All other settings, in groups."}


def _group(title: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields that the form opens when it is asked to."""
    opened = {"type": "object", "title": title, "additionalProperties": False, "properties": fields}
    return {"anyOf": [opened, NULL], "default": None, "title": title}


SelectionRequest = Annotated[SelectConfig, BeforeValidator(flattened), Form(selects=True)]
"""Parameter of a flow that writes a selection, or a comparison of some."""

ScoreRequest = Annotated[SelectConfig, BeforeValidator(flattened), Form(selects=False)]
"""Parameter of a flow that only scores."""
