"""Numbers as people write them: `10k`, `2M`, `1.5B`, `1e6`, `10_000`, `10,000`, `5%`, `64MB`, `128 MiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

SEPARATORS = str.maketrans("", "", "_,")

SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
"""By the letter behind a number, in either case."""

BYTES = {f"{letter}{unit}": base**power for power, letter in enumerate("kmgt", 1)
         for unit, base in (("", 1000), ("b", 1000), ("ib", 1024))} | {"": 1, "b": 1}  # fmt: skip
"""By the unit behind a number of bytes, in any case."""

GROUPED = r"[0-9]{1,3}(,[0-9]{3})+"
"""Digits in groups of three."""

_DIGITS = rf"({GROUPED}|[0-9][0-9_]*(\.[0-9]+)?([eE]\+?[0-9]{{1,2}})?)"

WHOLE_NUMBER = rf"^\s*{_DIGITS}\s*[kKmMbBgGtT]?\s*$"
BYTE_COUNT = rf"^\s*{_DIGITS}\s*([kKmMgGtT]?[iI]?[bB]|[kKmMgGtT])?\s*$"
SHARE = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"
"""What a form may hold, as patterns of JSON Schema."""

_SCALED = re.compile(rf"(?P<number>{_DIGITS})\s*(?P<unit>[a-z]*)", re.IGNORECASE)


def whole_number(value: Any) -> Any:
    """An int for a text such as `10k`, `1.5B` or `1e6`; anything else as it is, for pydantic to judge."""
    return _scaled(value, SCALES)


def size(value: Any) -> Any:
    """See `whole_number`, for how much to select.

    Raises:
        ValueError: it is a percentage.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        raise ValueError("must be a whole number; a share of the eligible documents is given by fraction")
    return whole_number(value)


def byte_count(value: Any) -> Any:
    """An int for a text such as `64MB`, `128 MiB` or `1G`; anything else as it is, for pydantic to judge."""
    return _scaled(value, BYTES)


def _scaled(value: Any, scales: Mapping[str, int]) -> Any:
    found = _SCALED.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found["unit"].lower() not in scales:
        return value
    number = Decimal(found["number"].translate(SEPARATORS)) * scales[found["unit"].lower()]
    return int(number) if number == number.to_integral_value() else value


def share(value: Any) -> Any:
    """A float for a text such as `5%`; anything else as it is, for pydantic to judge.

    Raises:
        ValueError: it is a number above 1, which may be meant as a percentage.
    """
    if isinstance(value, int | float) and 1 < value <= 100:
        raise ValueError(f"must be at most 1; {value:g} percent is {value:g}%")
    if not isinstance(value, str) or not value.strip().endswith("%"):
        return value
    try:
        return float(Decimal(value.strip()[:-1].strip()) / 100)
    except InvalidOperation:
        return value
