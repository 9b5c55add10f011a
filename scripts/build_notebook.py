"""Write docs/tutorial.ipynb from docs/tutorial.md: `python -m scripts.build_notebook`. A test compares and runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"
AT_THE_ROOT = """\
import os

if not os.path.exists("demo"):  # Jupyter starts a notebook in its own folder
    os.chdir("..")"""


def notebook() -> str:
    """The tutorial as a notebook without outputs: prose and code in turn."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    page = re.sub(r"```text\n.*?```\n+", "", page, flags=re.DOTALL)  # what the cells will print
    pieces = re.split(r"```python\n(.*?)```\n*", page, flags=re.DOTALL)
    cells = [_cell("code" if i % 2 else "markdown", piece.strip()) for i, piece in enumerate(pieces) if piece.strip()]
    cells.insert(1, _cell("code", AT_THE_ROOT))
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    found = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> dict[str, Any]:
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True), **code}


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
