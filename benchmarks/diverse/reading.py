"""From unpacked packages to documents: each function makes one that yields the documents of its files, in order."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.quality.sources import without_roff
from scripts.demo_sources import TextOfPage, dictd_number

MAX_BYTES = 1_000_000
"""Larger files are left out: most are generated."""

Documents = Callable[[list[Path]], Iterator[str]]


def files(*patterns: str) -> Documents:
    """Whole files, as they are."""
    return lambda roots: filter(None, (_text(path) for path in _paths(roots, patterns)))


def manual_pages(*patterns: str) -> Documents:
    """Manual pages without their typesetting."""
    return lambda roots: (without_roff(text) for text in files(*patterns)(roots))


def pages(*patterns: str) -> Documents:
    """The text of HTML pages."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for source in files(*patterns)(roots):
            page = TextOfPage()
            page.feed(source)
            yield page.text().partition("Help content debug info:")[0].strip()

    return documents


def inside(archive: str, *endings: str) -> Documents:
    """Whole files of an archive (`.tar`, `.tar.xz` or `.zip`) whose names end so."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for path in _paths(roots, (archive,)):
            for name, data in _zip_members(path, endings) if path.suffix == ".zip" else _tar_members(path, endings):
                yield _decoded(name, data)

    return lambda roots: filter(None, documents(roots))


def messages(*patterns: str) -> Documents:
    """Translated messages of gettext catalogues, in the order of the originals, 5 to 400 in a document."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for path in _paths(roots, patterns):
            pairs = sorted(set(_catalogue(path.read_bytes())))
            yield from runs([text for key, text in pairs if key and text and text != key.rpartition("\4")[2]], 5, 400)

    return documents


def interface_messages(*patterns: str) -> Documents:
    """The values of flat JSON catalogues, one document a file."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for source in files(*patterns)(roots):
            values = json.loads(source)
            if isinstance(values, dict):
                yield "\n".join(text for key, text in values.items() if key != "@metadata" and isinstance(text, str))

    return documents


def strings(*patterns: str) -> Documents:
    """Strings of JSON files that hold lists of objects, one document an object; of few words are left out."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for path in _paths(roots, patterns):
            found = json.loads(path.read_bytes())
            for item in found if isinstance(found, list) else [found]:
                yield "\n".join(_strings(item))

    return documents


def dictionary(index: str) -> Documents:
    """Entries of a dictionary in dictd's format (offset and length in base 64 digits), 1 to 60 in a document."""

    def documents(roots: list[Path]) -> Iterator[str]:
        for path in _paths(roots, (index,)):
            data = gzip.decompress(path.with_suffix(".dict.dz").read_bytes())
            places = {tuple(line.split(b"\t")[1:3]) for line in path.read_bytes().splitlines()}
            ranges = sorted((dictd_number(start.decode()), dictd_number(length.decode())) for start, length in places)
            yield from runs([data[at : at + n].decode("utf-8", "replace").strip() for at, n in ranges], 1, 60)

    return documents


def split(documents: Documents, pattern: str, few: int, many: int) -> Documents:
    """Parts of documents between matches of a pattern, `few` to `many` of them in a document."""
    return lambda roots: (run for text in documents(roots) for run in runs(re.split(pattern, text), few, many))


def runs(parts: list[str], few: int, many: int) -> Iterator[str]:
    """Runs of `few` to `many` parts, short ones more often, joined by line feeds."""
    rng = random.Random(len(parts))
    at = 0
    while at < len(parts):
        n = round(few * (many / few) ** rng.random())
        yield "\n".join(parts[at : at + n])
        at += n


def _catalogue(data: bytes) -> Iterator[tuple[str, str]]:
    """Originals and translations of a compiled catalogue, the singular of those that have a plural."""
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    n, originals, translations = struct.unpack_from(f"{order}3I", data, 8)

    def text(table: int, i: int) -> str:
        length, at = struct.unpack_from(f"{order}2I", data, table + 8 * i)
        return data[at : at + length].split(b"\0")[0].decode("utf-8", "replace")

    return ((text(originals, i), text(translations, i)) for i in range(n))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _paths(roots: Iterable[Path], patterns: Iterable[str]) -> Iterator[Path]:
    for root in roots:
        found = {path for pattern in patterns for path in root.glob(pattern)}
        yield from sorted(path for path in found if path.is_file() and not path.is_symlink())


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, zlib.error) as error:
            raise ValueError(f"{path} is not gzip: {error}") from error
    return _decoded(path.name, data)


def _decoded(name: str, data: bytes) -> str:
    """The text of a file; empty where it is too large or is not text."""
    if len(data) > MAX_BYTES:
        return ""
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return ""


def _tar_members(path: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(endings) and member.size <= MAX_BYTES:
                file = tar.extractfile(member)
                assert file is not None
                yield member.name, file.read()


def _zip_members(path: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(endings) and member.file_size <= MAX_BYTES:
                yield member.filename, archive.read(member)
