"""A request as the form that Prefect's UI makes of its JSON schema: what is asked first stands first.

The schema is also what the server refuses a run by (`enforce_parameter_schema`).
"""

from __future__ import annotations

from typing import Any

from pydantic import GetJsonSchemaHandler

FIRST = (
    "raw",
    "target",
    "output",
    "count",
    "tokens",
    "fraction",
    "workdir",
    "seed",
    "method",
    "overwrite",
    "text_field",
    "min_tokens",
    "s3_endpoint",
)
"""The rest follows as the settings' classes have it."""

TARGET = (
    'The target corpora as JSON, each name with its files: {"wiki": ["s3://lake/wiki.jsonl"], "books": ["books/*.gz"]}'
)
"""What the command's help says of `[NAME=]GLOB` is of no use in a form."""

SIZES = ("count", "tokens", "fraction", "quotas")


class Form:
    """Annotates `SelectConfig` where it is the parameter of a flow.

    What `parse_config` asks beyond the model, a schema can say as well: where the selection goes, and how much it is
    (a `not` rather than an `anyOf`, of which the UI would make tabs).

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
        form["properties"] = {name: fields[name] for name in (*FIRST, *(name for name in fields if name not in FIRST))}
        for field in form["properties"].values():
            if "description" in field:
                field["description"] = " ".join(field["description"].split())
        form["properties"]["target"]["description"] = TARGET
        if self.selects:
            form["required"] = [*form["required"], "output"]
            form["properties"]["output"] |= {"minLength": 1}
            form["properties"]["output"].pop("default", None)
            form["not"] = {"properties": {name: {"type": "null"} for name in SIZES}}
        return schema
