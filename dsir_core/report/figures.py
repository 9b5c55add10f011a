"""The content of report.json, as the page takes it."""

from __future__ import annotations

from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]
