"""What a run writes: the output, the workdir, report.json, compare.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from dsir_core.checkpoints.kinds import KINDS
from dsir_core.resampling.weights_schema import weights_schema
from dsir_core.shards.select import selection_schema
from scripts.reference import REFERENCE, cell

SCHEMAS = {name: REFERENCE / f"{name}.schema.json" for name in ("report", "compare")}
"""Schemas of the JSON files that a run leaves in its output, by the name of the file."""


def files_page() -> str:
    """What a run writes: the output, and the workdir."""
    selected = selection_schema(offset=True, stratum=True, odds=True)
    weights = weights_schema(("",), odds=True, strata=True, offsets=True, hashes=True)
    kinds = [
        f"| `{kind.folder}/` | {kind.version} | `{kind.suffix}` | {kind.words} | {'yes' * kind.has_receipt or 'no'} |"
        for kind in KINDS
    ]
    return FILES.format(selected=_columns(selected), weights=_columns(weights), kinds="\n".join(kinds))


COLUMNS = {
    "file": "Path relative to the corpus root, or the URL of a file elsewhere.",
    "position": "Place in the file: byte offset of a JSON line after decompression, row number otherwise.",
    "offset": "With `chunk`: byte offset of the chunk in its document's text.",
    "n_tokens": "Tokens of the document.",
    "log_weight": "Sum of the log ratios of the document's n-grams, not divided by length.",
    "log_odds": "With a heuristic method: log odds of the classifier.",
    "key": "What was ranked: the documents with the largest keys are selected.",
    "target": "The target that selected the document.",
    "stratum": "With `strata`: the value of the field.",
    "text_hash": "With `dedup` or `exclude_target_copies`: BLAKE2b-128 of the text.",
}


def _columns(schema: pa.Schema) -> str:
    rows = [f"| `{field.name}` | {_arrow_type(field.type)} | {COLUMNS[field.name]} |" for field in schema]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


def _arrow_type(kind: pa.DataType) -> str:
    return (
        f"{kind.value_type}, by dictionary" if pa.types.is_dictionary(kind) else str(kind).replace("double", "float64")
    )


FILES = """\
# Files

## Output

| file | content |
|---|---|
| `part-*` | The selected records, see [Output](../output.md) |
| `selected.parquet` | One row for each selected document, in order of file and position |
| `report.json` | All figures of the run, see [report.json](report-json.md); written last |
| `report.html` | [The report](../report.md) |
| `compare.json`, `compare.html` | Instead of all these, from `dsir compare`, see [compare.json](compare-json.md) |

A file gets its final name when it is complete. Until then its name begins with `.incoming-`.

### selected.parquet

{selected}

## Workdir

A workdir holds checkpoints, the records of runs (`runs/`) and nothing else. Each checkpoint is one data file,
`KIND/KEY.SUFFIX`, and a receipt, `KIND/KEY.json`. The key is the SHA-256 of everything that the data depend on:
identity of the source file (path, size, and the version that storage reports), range, settings, tokenizer, model, and
the version of the format below. A checkpoint is therefore never out of date; what changed has another key. The
receipt is written after the data, holds their size and SHA-256, and proves that the checkpoint is complete.

| folder | format version | suffix | holds | receipt |
|---|---|---|---|---|
{kinds}

The formats of checkpoints are internal, except for that of the weights. A release that changes one raises its
version, and the checkpoints of earlier releases are not used any more; `dsir clean` removes them.

### Weights

`weights/*.parquet`, one file a shard, as `dsir score` leaves them. `score/*.json` lists the files of a model in the
order of the shards. Rows are in order of file, position and offset.

{weights}

With several targets that select separately there is one column `log_weight.NAME` (and `log_odds.NAME`) for each. A
log weight is NaN if the document has no usable score from elsewhere.
"""


def schema_page(name: str, readers: str) -> str:
    """The keys of a JSON file of the output, from its schema.

    Args:
        readers: what the tests validate against the schema.
    """
    schema = json.loads(SCHEMAS[name].read_text(encoding="utf-8"))
    rows = "\n".join(f"| `{path}` | {kind} | {text} |" for path, kind, text in _keys(schema, schema, ""))
    return f"""\
# {name}.json

`{name}.json` follows a [JSON schema]({name}.schema.json), against which the tests validate {readers}.
{schema["description"]} `NAME` stands for any name, `[]` for each item of a list.

| key | type | meaning |
|---|---|---|
{rows}

Keys may be added in any release; a key that is removed or changes its meaning is named in the
[changelog](../../CHANGELOG.md).
"""


def _keys(schema: Mapping[str, Any], whole: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, inner in schema.get("properties", {}).items():
        yield from _key(inner, whole, f"{path}.{name}" if path else name)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _key(schema["additionalProperties"], whole, f"{path}.NAME")
    if isinstance(schema.get("items"), dict):
        yield from _key(schema["items"], whole, f"{path}[]")


def _key(schema: Mapping[str, Any], whole: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    resolved = whole["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    kinds = resolved["type"] if isinstance(resolved["type"], list) else [resolved["type"]]
    if "description" in resolved:
        yield path, " or ".join(kinds), cell(resolved["description"])
    yield from _keys(resolved, whole, path)
