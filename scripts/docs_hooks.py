"""Hooks of the site (see mkdocs.yml): pages of the repository's root are pages of the site, too."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "demo/SOURCES.md": "demo-sources.md",
}
"""Page outside docs/ -> page of the site."""


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages of the root."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between the root and docs/ become links within the site; code has a language and nothing else.

    What stands behind the language tells the tests how a block is run.
    """
    markdown = re.sub(r"^(```\w+) .*$", r"\1", markdown, flags=re.MULTILINE)
    if page.file.src_uri in ROOT_PAGES.values():
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    folder = posixpath.dirname(page.file.src_uri)
    for name, site_page in ROOT_PAGES.items():
        there = posixpath.relpath(site_page, folder or ".")
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(name)}", f"]({there}", markdown)
    return markdown
