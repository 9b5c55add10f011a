"""Which fields the records of a corpus have, for messages about one that is not there."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.source import decompressed, open_source
from dsir_core.corpus.types import SourceFile
from dsir_core.errors import RequestError
from dsir_core.urls import without_credentials

HEAD_BYTES = 2**20
MAX_RECORDS = 100
N_SUGGESTED = 3


def suggest_fields(file: SourceFile, missing: str) -> list[str]:
    """Fields of a JSONL file's first records that hold strings: those with a like name, then those with the most text.

    Args:
        missing: the dotted path that is asked for.

    Raises:
        DamagedFileError, OSError: the file cannot be read.
    """
    lengths: dict[str, int] = defaultdict(int)
    for record in _first_records(file):
        for name, value in _strings(record):
            lengths[name] += len(value)
    lengths.pop(missing, None)
    near = difflib.get_close_matches(missing, list(lengths), N_SUGGESTED, 0.5)
    longest = sorted(lengths, key=lambda name: (-lengths[name], name))
    return list(dict.fromkeys([*near, *longest]))[:N_SUGGESTED]


def check_fields(file: SourceFile, settings: ReadSettings) -> None:
    """Refuse text fields that none of a JSONL file's first records has.

    Raises:
        RequestError: there is such a field; names fields that are there.
        DamagedFileError, OSError: the file cannot be read.
    """
    if settings.include or settings.exclude:
        return  # the first records may be none of those that are read
    records = [record for record in _first_records(file) if isinstance(record, Mapping)]
    for name in settings.text_field:
        if records and not any(_has_text(record, name) for record in records):
            found = " or ".join(map(repr, suggest_fields(file, name))) or "none that holds text"
            url = without_credentials(file.url)
            raise RequestError(
                f"{url}: its first records have no text in a field {name!r}; is it {found}? Set --text-field"
            )


def _has_text(record: Mapping[str, Any], name: str) -> bool:
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return isinstance(value, str)


def _first_records(file: SourceFile) -> Iterator[Any]:
    head = bytearray()
    with open_source(file) as source, decompressed(file, source) as stream:
        while len(head) < HEAD_BYTES and (data := stream.read(HEAD_BYTES - len(head))):
            head += data
    is_whole = len(head) < HEAD_BYTES
    lines = bytes(head).split(b"\n")
    for line in lines[: MAX_RECORDS if is_whole else min(MAX_RECORDS, len(lines) - 1)]:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue  # bad records are named where records are counted


def _strings(record: Any) -> Iterator[tuple[str, str]]:
    """Strings of a record, and of the objects in it, by dotted path."""
    if not isinstance(record, Mapping):
        return
    for name, value in record.items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", text) for inner, text in value.items() if isinstance(text, str))
