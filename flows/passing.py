"""A line in the terminal that the next one replaces."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Show what is being done until the next call, or clear the line; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}{' ...' if text else ''}", end="", file=sys.stderr, flush=True)
