"""The figures of a run, as they are returned: a dict that prints well in a notebook."""

from __future__ import annotations

from typing import Any


class Report(dict[str, Any]):
    """The content of report.json."""

    def _repr_html_(self) -> str:
        """The headline, as a notebook shows it."""
        from dsir_core.report.html import render_summary

        return render_summary(self)
