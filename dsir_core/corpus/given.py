"""The text that a user gives by hand: as it is, or as a JSON record that holds it."""

from __future__ import annotations

import json

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.formats.json_records import BadRecordError, text_decoder
from dsir_core.corpus.formats.line_blocks import BOM
from dsir_core.errors import RequestError

N_FIELDS = 8
"""Fields that a message names."""


def given_text(data: bytes, read: ReadSettings, where: str) -> tuple[str, bool]:
    """A text, and whether it was taken from the text field of a JSON object.

    Args:
        data: UTF-8, all of it; a byte order mark before it is passed over, as in files.
        read: names the text field.
        where: the data comes from, for messages.

    Raises:
        RequestError: the data is empty, not UTF-8, a JSON object without the text field, or several JSON objects.
    """
    data = data.removeprefix(BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not UTF-8: byte {error.start}") from None
    if not text.strip():
        raise RequestError(f"{where} is empty: give the text of a document")
    record = _object(text)
    if record is None:
        lines = text.strip().split("\n", 2)[:2]
        if len(lines) == 2 and all(_object(line) is not None for line in lines):
            raise RequestError(f"{where} holds several JSON records: give one, for example by head -n 1")
        return text, False
    try:
        return text_decoder(read)(data), True
    except BadRecordError as error:
        names = ", ".join(list(record)[:N_FIELDS]) + (", ..." if len(record) > N_FIELDS else "")
        raise RequestError(
            f"{where} is a JSON object: {error}; its fields are {names or 'none'}. To use the JSON itself as the text, "
            f"give it as the value of the text field"
        ) from None


def _object(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
