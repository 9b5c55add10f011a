"""The pages of docs/reference, made from the code: `python -m scripts.reference` writes them, a test compares them."""

from __future__ import annotations

from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return " ".join(text.split()).replace("%%", "%").replace("|", "\\|")
