"""Figures in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def human_bytes(n: float) -> str:
    """Bytes in words: 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def human_seconds(seconds: float) -> str:
    """A time in words: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def human_count(value: float) -> str:
    """A large number in three digits: 1.23 M."""
    if round(value) < 1e4:
        return f"{value:,.0f}"
    rounded = float(f"{value:.3g}")
    unit, size = next((unit, size) for unit, size in UNITS if rounded >= size)
    return f"{rounded / size:.4g} {unit}"


def decimal(value: float, places: int = 3) -> str:
    """A number with so many decimal places, and a minus sign where it is negative: −1,234.500."""
    return f"{value:z,.{places}f}".replace("-", "\N{MINUS SIGN}")


def counted(n: int, noun: str) -> str:
    """A number of things in words: 1 shard, 2,000 shards."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def as_sentence(text: str) -> str:
    """A note as a sentence: with a capital, except for the name of a setting, and a full stop."""
    first, end = text.partition(" ")[0], "" if text.endswith((".", "?", "!")) else "."
    return (text if "_" in first else text[:1].upper() + text[1:]) + end


def speed(figures: Mapping[str, Any]) -> str:
    """Raw's stored bytes by the time of all stages, in words; nothing where a run read nothing.

    Args:
        figures: the content of report.json.
    """
    time = figures.get("time")
    if time is None or not any(stage["bytes"] for stage in figures.get("stages", {}).values()):
        return ""
    return f"{human_bytes(time['bytes_per_second'])}/s of raw, as stored"


def printable(text: str) -> str:
    """A text of a document, or a name, without control characters: terminals obey them, and XML does not allow them."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
