"""A real browser for tests of pages: headless Chromium, found on this machine; a test that needs one fails without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip
SECONDS = 120

# The page stands in a frame, whose width can be that of a phone where a window's cannot.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin: 0">
<iframe src="{page}" style="border: 0; width: {width}px; height: {height}px"></iframe>
<script>
addEventListener("load", () => {{
  const frame = document.querySelector("iframe"), page = frame.contentWindow, document_ = frame.contentDocument;
  let found;
  try {{
    found = (function (window, document) {{ {script} }})(page, document_);
  }} catch (error) {{
    found = {{error: String(error)}};
  }}
  const told = document.createElement("pre");
  told.id = "found";
  told.textContent = JSON.stringify(found);
  document.body.append(told);
}});
</script>"""


def browser() -> str:
    """The browser's path: what CHROMIUM names, else the first of the usual names.

    Raises:
        RuntimeError: there is none.
    """
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise RuntimeError(f"no browser: install Chromium, or name one by CHROMIUM (looked for {named or NAMES})")
    return found


def ask(page: Path, script: str, *, width: int = 1400, height: int = 2000, dark: bool = False) -> Any:
    """Open a page and run JavaScript with its `window` and `document`; what it returns, which must be JSON."""
    with _framed(page, script, width, height) as url:
        shown = _run(["--dump-dom", "--virtual-time-budget=5000", *_scheme(dark), url]).stdout
    told = shown.partition('<pre id="found">')[2].partition("</pre>")[0]
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        told = told.replace(entity, char)
    found = json.loads(told)
    if isinstance(found, dict) and "error" in found:
        raise AssertionError(found["error"])
    return found


def screenshot(page: Path, image: Path, *, width: int = 1400, height: int = 2000, dark: bool = False) -> None:
    """Save the page as a PNG."""
    with _framed(page, "return null", width, height) as url:
        _run([f"--screenshot={image}", f"--window-size={max(width, 500)},{height}", *_scheme(dark), url])


def _scheme(dark: bool) -> list[str]:
    return [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = [browser(), *FLAGS, f"--user-data-dir={profile}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def _framed(page: Path, script: str, width: int, height: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(page, root / "page.html")
        frame = FRAME.format(page="page.html", width=width, height=height, script=script)
        (root / "frame.html").write_text(frame, encoding="utf-8")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/frame.html"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
