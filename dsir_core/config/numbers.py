"""Numbers as people write them: `10k`, `2M`, `1.5B`, `1e6`, `10_000`, `5%`."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
"""By the letter behind a number, in either case."""

_SCALED = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*([kmbgt]?)", re.IGNORECASE)


def whole_number(value: Any) -> Any:
    """An int for a text such as `10k`, `1.5B` or `1e6`; anything else as it is, for pydantic to judge."""
    found = _SCALED.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    number = Decimal(found[1].replace("_", "")) * SCALES[found[2].lower()]
    return int(number) if number == number.to_integral_value() else value


def share(value: Any) -> Any:
    """A float for a text such as `5%`; anything else as it is, for pydantic to judge."""
    if not isinstance(value, str) or not value.strip().endswith("%"):
        return value
    try:
        return float(Decimal(value.strip()[:-1].strip()) / 100)
    except InvalidOperation:
        return value
