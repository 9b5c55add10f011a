"""The documentation is a site that loads nothing from elsewhere, and that a phone shows."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.browser import live_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("index", "selecting", "reference/settings", "reference/report-json", "troubleshooting", "performance")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The site, served."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 375])
def test_pages_fit_and_load_nothing_from_elsewhere(site: str, width: int) -> None:
    with live_page(width=width, height=900) as page:
        for name in PAGES:
            page.goto(f"{site}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.browser
def test_the_search_finds_a_setting(site: str) -> None:
    with live_page() as page:
        page.goto(f"{site}/index.html")
        query = page.locator("[data-md-component=search-query]")
        query.click()
        query.press_sequentially("min_tokens")
        page.locator(".md-search-result__item", has_text="Documents with fewer tokens").first.wait_for()


@pytest.mark.long
def test_every_block_of_code_is_shown_as_one(folder: Path) -> None:
    assert [page.name for page in folder.rglob("*.html") if "```" in page.read_text(encoding="utf-8")] == []
