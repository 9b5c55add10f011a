"""A real browser for tests of pages: the system's Chromium, headless, driven by Playwright; tests fail without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright, Request, expect, sync_playwright

from tests.programs import browser

FLAGS = ("--disable-gpu", "--disable-quic")
"""Beside Playwright's own, which keep the browser from looking for anything on the network but the page under test."""

SECONDS = 60.0
"""How long a page may take to load, and an element to come; no test's promise."""
expect.set_options(timeout=1000 * SECONDS)


@contextmanager
def live_page(*, width: int = 1400, height: int = 2000, dark: bool = False) -> Iterator[Page]:
    """An empty page of a browser of its own; `page.goto(url)` opens something in it.

    Args:
        width, height: of the window's inside, in CSS pixels; also such as no desktop's window can have.

    Raises:
        AssertionError: what the block has opened asked for anything from a host other than 127.0.0.1, or read a file
            that was not opened by name.
    """
    path = browser()
    with sync_playwright() as playwright:
        chromium = _launch(playwright, path)
        try:
            with _page(chromium, width, height, dark) as page:
                yield page
        finally:
            chromium.close()


def ask(page: Path, script: str, *, width: int = 1400, height: int = 2000, dark: bool = False) -> Any:
    """Open a file and run JavaScript with its `window` and `document`; what it returns, which must be JSON."""
    return _open(page, lambda opened: opened.evaluate(f"() => {{ {script} }}"), width, height, dark)


def screenshot(page: Path, image: Path, *, width: int = 1400, height: int = 2000, dark: bool = False) -> None:
    """Save what the window shows of a file as a PNG."""
    _open(page, lambda opened: opened.screenshot(path=image), width, height, dark)


def _launch(playwright: Playwright, path: str) -> Browser:
    return playwright.chromium.launch(executable_path=path, args=list(FLAGS))


@contextmanager
def _page(chromium: Browser, width: int, height: int, dark: bool) -> Iterator[Page]:
    """A page with cookies and storage of its own; see `live_page`."""
    foreign: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    try:
        page.set_default_timeout(1000 * SECONDS)
        page.on("request", lambda asked: foreign.append(asked.url) if _is_foreign(asked) else None)
        yield page
    finally:
        page.close()
    assert foreign == [], f"the page asks for {foreign}"


def _is_foreign(asked: Request) -> bool:
    parts = urlsplit(asked.url)
    if parts.scheme == "file":
        return not asked.is_navigation_request() or asked.frame.parent_frame is not None
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"


def _open(page: Path, look: Callable[[Page], Any], width: int, height: int, dark: bool) -> Any:
    def in_the_thread() -> Any:
        with _page(_shared(), width, height, dark) as opened:
            opened.goto(page.resolve().as_uri())
            return look(opened)

    return _THREAD.submit(in_the_thread).result()


# One browser for all files: it takes longer to start than to show one. Where Playwright runs, asyncio cannot.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="browser")


@cache
def _shared() -> Browser:
    path = browser()
    playwright = sync_playwright().start()
    try:
        return _launch(playwright, path)
    except BaseException:
        playwright.stop()  # else its loop stays in the thread, and every later start fails for that reason
        raise
