"""From what the user names (files, directories, globs, list files) to the source files of a corpus."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import PurePosixPath
from typing import Any, get_args

from fsspec.implementations.local import LocalFileSystem

from dsir_core.corpus.source import version_of
from dsir_core.corpus.types import Compression, Format, SourceFile
from dsir_core.errors import RequestError
from dsir_core.storage.connect import connect
from dsir_core.storage.retries import with_retries
from dsir_core.urls import url_like, without_credentials

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
}
KNOWN = "JSON lines (.jsonl, .ndjson, .json; also .gz, .zst, .bz2, .xz) and Parquet (.parquet, .pq)"

assert set(COMPRESSIONS.values()) | {"none"} == set(get_args(Compression))


@dataclass(frozen=True)
class Corpus:
    """The source files of a corpus, sorted by path."""

    root: str
    """Where paths start; empty when the files lie on different filesystems, and paths are whole URLs."""
    files: tuple[SourceFile, ...]
    ignored: tuple[str, ...] = ()
    """What is passed over in directories and globs: files hidden, begun with `_`, or of no known kind; links to
    directories; directories (with a slash behind) that a glob matches, but nothing in them."""
    duplicates: int = 0
    """Files named more than once, and taken once."""


@dataclass(frozen=True)
class _Found:
    """What one spec gives."""

    spec: str
    filesystem: Any
    path: str
    """Of the spec, on its filesystem."""
    root: str
    infos: list[dict[str, Any]]
    ignored: list[str]

    def url(self, name: str) -> str:
        """The URL to open a file of this filesystem by."""
        return url_like(self.spec, self.filesystem, self.path, name)


class _LocalListing(LocalFileSystem):  # type: ignore[misc]
    """Local files; a directory that cannot be read is an error, where fsspec leaves it out of a listing."""

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        """See fsspec."""
        try:
            return super().ls(path, detail=detail, **kwargs)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise RequestError(f"{error.filename}: cannot be listed: {error.strerror}") from None


def list_corpus(specs: Sequence[str]) -> Corpus:
    """List the files that specs name.

    A spec is a file, a directory (all files below it of known kinds), a glob (`**` too), or `@list.txt` (a spec a
    line, `#` for comments); local, or any fsspec URL. The corpus root is the longest common directory of the specs
    themselves, so another file under a glob does not change the paths of the others.

    Raises:
        RequestError: a spec names nothing, or a file of no known kind.
    """
    found = [_expand(spec) for spec in _unlisted(specs)]
    root, whole_urls = _common_root(found)
    files: dict[str, SourceFile] = {}
    named = 0
    for one in found:
        for info in one.infos:
            named += 1
            url = one.url(info["name"])
            path = without_credentials(url) if whole_urls else _inside(info["name"], root)
            files[path] = _source_file(path, url, info)
    ignored = sorted({name for one in found for name in one.ignored})
    return Corpus(
        root and without_credentials(found[0].url(root)),
        tuple(files[path] for path in sorted(files)),
        tuple(ignored),
        named - len(files),
    )


def kind_of(name: str) -> tuple[Format, Compression] | None:
    """Format and compression by a file's suffixes, or None."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression: Compression = "none"
    if suffixes and suffixes[-1] in COMPRESSIONS:
        compression = COMPRESSIONS[suffixes.pop()]
    if not suffixes or (format_ := FORMATS.get(suffixes[-1])) is None:
        return None
    return None if format_ == "parquet" and compression != "none" else (format_, compression)


def _unlisted(specs: Sequence[str]) -> Iterator[str]:
    """Specs with those of list files in place of the list files."""
    for spec in specs:
        if not spec.startswith("@"):
            yield spec
            continue
        try:
            filesystem, path = connect(spec[1:])
            text = bytes(with_retries(filesystem.cat_file, path)).decode("utf-8-sig")
            listed = [line.strip() for line in text.splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{without_credentials(spec)}: the list cannot be read: {error}") from None
        named = [line for line in listed if line and not line.startswith("#")]
        if not named:
            raise RequestError(f"{without_credentials(spec)}: the list names nothing")
        yield from named


def _expand(spec: str) -> _Found:
    filesystem, path = connect(spec, listing=True)
    if isinstance(filesystem, LocalFileSystem):
        filesystem = _LocalListing()
    filesystem.invalidate_cache()  # this process may have listed the place before
    ignored: list[str] = []
    matches = with_retries(filesystem.glob, path, detail=True) if has_magic(path) else {}
    if matches:
        root = _before_magic(path)
        kept, ignored = _sift(_files(matches), root, keep_unknown=True)
        ignored += _without_files(matches, root)
    elif (info := _single(filesystem, path)) is not None:
        root, kept = posixpath.dirname(path), [info]
    elif (below := _below(filesystem, path)) is not None:
        root = path.rstrip("/")
        kept, ignored = _sift(_files(below), root, keep_unknown=False)
    elif with_retries(filesystem.exists, path):
        root, kept = posixpath.dirname(path), [with_retries(filesystem.info, path)]
    elif has_magic(path):
        root, kept = "", []
    else:
        raise RequestError(f"{without_credentials(spec)}: no such file or directory")
    if not kept:
        passed_over = f" ({len(ignored)} of other kinds)" if ignored else ""
        raise RequestError(f"{without_credentials(spec)}: matches no file{passed_over}; read are {KNOWN}")
    for info in kept:
        if kind_of(info["name"]) is None:
            raise RequestError(f"{without_credentials(info['name'])}: no known kind of file; read are {KNOWN}")
    return _Found(spec, filesystem, path, root, kept, ignored)


def _single(filesystem: Any, path: str) -> dict[str, Any] | None:
    """The entry of a file whose name is of a known kind; a directory may have such a name, too."""
    if kind_of(path) is None:
        return None
    try:
        info: dict[str, Any] = with_retries(filesystem.info, path)
    except FileNotFoundError:
        return None
    return info if info.get("type") == "file" else None


def _below(filesystem: Any, path: str) -> dict[str, dict[str, Any]] | None:
    """All entries below a directory, None where there is none: on an object store one listing, page after page."""
    if isinstance(filesystem, LocalFileSystem) and not filesystem.isdir(path):
        return None
    below: dict[str, dict[str, Any]] = with_retries(filesystem.find, path, detail=True)
    itself = path.rstrip("/")
    if isinstance(filesystem, LocalFileSystem) or any(name.rstrip("/") != itself for name in below):
        return below
    return None


def _files(listed: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**info, "name": name} for name, info in listed.items() if info.get("type") != "directory"]


def _without_files(matched: dict[str, dict[str, Any]], root: str) -> list[str]:
    """Directories that a glob matches without matching a file in them: `data/*` does not reach into `data/sub`."""
    directories = {name.rstrip("/") for name, info in matched.items() if info.get("type") == "directory"}
    for name, info in matched.items():
        while info.get("type") != "directory" and directories and (name := posixpath.dirname(name)).strip("/"):
            directories.discard(name)
    return [_inside(name, root) + "/" for name in directories if name != root]


def _sift(infos: list[dict[str, Any]], root: str, *, keep_unknown: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Files to take, and names of those to pass over."""
    kept, ignored = [], []
    for info in infos:
        inside = _inside(info["name"], root)
        hidden = any(part.startswith((".", "_")) for part in inside.split("/"))
        if hidden or (not keep_unknown and kind_of(inside) is None):
            ignored.append(inside)
        else:
            kept.append(info)
    return kept, ignored


def _before_magic(path: str) -> str:
    parts = path.split("/")
    plain = next(i for i, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:plain])


def _inside(name: str, root: str) -> str:
    """A name below a directory; one name, however many `.`, `..` and slashes the specs hold."""
    return posixpath.relpath("/" + name.lstrip("/"), "/" + root.lstrip("/"))


def _common_root(found: Sequence[_Found]) -> tuple[str, bool]:
    """The longest common directory, and whether there is none because filesystems differ."""
    if any(one.filesystem != found[0].filesystem for one in found):
        return "", True
    split = [one.root.split("/") for one in found]
    common = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common), False


def _source_file(path: str, url: str, info: dict[str, Any]) -> SourceFile:
    kind = kind_of(path)
    assert kind is not None
    if not path.isprintable():
        raise RequestError(f"{path!a}: a file name must be printable Unicode; rename it")
    if info.get("size") is None:
        raise RequestError(f"{without_credentials(url)}: the server does not tell its size; copy it first")
    if "ino" in info:  # a local file; fsspec gives its time as a float, which loses digits
        try:
            status = os.stat(info["name"])
        except FileNotFoundError:
            raise RequestError(f"{url}: no such file (a link that leads nowhere?)") from None
        if not stat.S_ISREG(status.st_mode):
            raise RequestError(f"{url}: not a regular file")
        version = str(status.st_mtime_ns)
    else:
        version = version_of(info)
    return SourceFile(path, url, int(info["size"]), version, *kind)
