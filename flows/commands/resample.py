"""`dsir resample`: select, on weights that are there already."""

from __future__ import annotations

from flows.commands.select import add_arguments, run

__all__ = ["add_arguments", "run"]
