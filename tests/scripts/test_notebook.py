"""The notebook is the tutorial, and runs in Jupyter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.build_notebook import DOCS, NOTEBOOK, notebook


def test_the_notebook_is_up_to_date() -> None:
    assert NOTEBOOK.read_text(encoding="utf-8") == notebook(), "run python -m scripts.build_notebook"


@pytest.mark.long
def test_the_notebook_prints_what_the_tutorial_says(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "demo").symlink_to(DOCS.parent / "demo")
    read = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(read)
    done = NotebookClient(read, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    assert printed == re.findall(r"```text\n(.*?)```", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL)
    assert sum("text/html" in output.get("data", {}) for output in outputs) == 3
