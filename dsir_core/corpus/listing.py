"""From what the user names (files, directories, globs, list files) to the source files of a corpus."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from dsir_core.corpus.formats.registry import kind_of, known_formats
from dsir_core.corpus.source import UNVERSIONED, version_of
from dsir_core.corpus.types import SourceFile
from dsir_core.errors import RequestError
from dsir_core.storage.connect import connect
from dsir_core.storage.retries import with_retries
from dsir_core.urls import is_local, url_like, without_credentials


@dataclass(frozen=True)
class Corpus:
    """The source files of a corpus, sorted by path."""

    root: str
    """Where paths start; empty when the files lie on different filesystems, and paths are whole URLs."""
    files: tuple[SourceFile, ...]
    ignored: tuple[str, ...] = ()
    """What is passed over in directories and globs: files hidden, begun with `_`, or of no known kind; directories
    (with a slash behind) that a glob matches, but nothing in them."""
    duplicates: int = 0
    """Files named more than once, and taken once."""
    special: tuple[str, ...] = ()
    """Pipes, devices, sockets and links to themselves in directories and globs, which are left out."""

    @property
    def unversioned(self) -> int:
        """Files of which storage reports nothing that changes with their content."""
        return sum(file.version.startswith(UNVERSIONED) for file in self.files)


@dataclass(frozen=True)
class _Place:
    """A directory on a filesystem."""

    spec: str
    filesystem: Any
    path: str
    """Of the spec, on its filesystem."""
    root: str

    def url(self, name: str) -> str:
        """The URL to open a file of this filesystem by."""
        return url_like(self.spec, self.filesystem, self.path, name)

    def shares_filesystem(self, other: _Place) -> bool:
        """Whether names on both are of one filesystem."""
        both_local = is_local(self.filesystem) and is_local(other.filesystem)
        return both_local or bool(self.filesystem == other.filesystem)


@dataclass(frozen=True)
class _Found:
    """What one spec gives."""

    place: _Place
    base: _Place
    """What paths are relative to: the spec's own directory, or that of the list file which holds it."""
    infos: list[dict[str, Any]]
    ignored: list[str]
    special: list[str]


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
    themselves, so another file under a glob does not change the paths of the others. A list file counts as its own
    directory, so another line in it does not either: what lies elsewhere has a path with `..`, or, on another
    filesystem, its URL.

    Raises:
        RequestError: a spec names nothing, or a file of no known kind.
    """
    found = [_expand(spec, base) for spec, base in _unlisted(specs)]
    root = _common_root([one.base for one in found])
    listing = uuid.uuid4().hex
    files: dict[str, SourceFile] = {}
    named = 0
    for one in found:
        for info in one.infos:
            named += 1
            url = one.place.url(info["name"])
            inside = root is not None and one.place.shares_filesystem(found[0].base)
            path = _inside(info["name"], root or "") if inside else without_credentials(url)
            files[path] = _source_file(path, url, info, listing)
    return Corpus(
        without_credentials(found[0].base.url(root)) if root else "",
        tuple(files[path] for path in sorted(files)),
        tuple(sorted({name for one in found for name in one.ignored})),
        named - len(files),
        tuple(sorted({name for one in found for name in one.special})),
    )


def _unlisted(specs: Sequence[str]) -> Iterator[tuple[str, _Place | None]]:
    """Specs with those of list files in place of the list files, each of these with the list's directory."""
    for spec in specs:
        if not spec.startswith("@"):
            yield spec, None
            continue
        try:
            filesystem, path = connect(spec[1:], listing=True)
            text = bytes(with_retries(filesystem.cat_file, path)).decode("utf-8-sig")
            listed = [line.strip() for line in text.splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{without_credentials(spec)}: the list cannot be read: {error}") from None
        named = [line for line in listed if line and not line.startswith("#")]
        if not named:
            raise RequestError(f"{without_credentials(spec)}: the list names nothing")
        base = _Place(spec[1:], filesystem, path, posixpath.dirname(path))
        yield from ((line, base) for line in named)


def _expand(spec: str, base: _Place | None) -> _Found:
    if "\0" in spec:
        raise RequestError(f"{without_credentials(spec)!r}: a name cannot hold the character NUL")
    try:
        return _expand_name(spec, base)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise RequestError(f"{without_credentials(spec)}: the name is too long") from None
        raise


def _expand_name(spec: str, base: _Place | None) -> _Found:
    filesystem, path = connect(spec, listing=True)
    if isinstance(filesystem, LocalFileSystem):
        filesystem = _LocalListing()
    filesystem.invalidate_cache()  # this process may have listed the place before
    ignored: list[str] = []
    special: list[str] = []
    matches = with_retries(filesystem.glob, path, detail=True) if has_magic(path) else {}
    if matches:
        root = _before_magic(path)
        kept, ignored, special = _sift(_files(matches), root, keep_unknown=True)
        ignored += _without_files(matches, root)
    elif (info := _single(filesystem, path)) is not None:
        root, kept = posixpath.dirname(path), [info]
    elif (below := _below(filesystem, path)) is not None:
        root = path.rstrip("/")
        kept, ignored, special = _sift(_files(below), root, keep_unknown=False)
    elif with_retries(filesystem.exists, path):
        root, kept = posixpath.dirname(path), [with_retries(filesystem.info, path)]
    elif has_magic(path):
        root, kept = "", []
    else:
        raise RequestError(f"{without_credentials(spec)}: no such file or directory{_looked_in(spec, filesystem)}")
    if not kept and special:
        raise RequestError(f"{without_credentials(spec)}: matches no regular file, only {special[0]}")
    if not kept:
        folder = _before_magic(path) if has_magic(path) else path
        why = _of_other_kinds(ignored) if ignored else _what_is_there(filesystem, folder)
        raise RequestError(f"{without_credentials(spec)}: matches no file{why}; read are {known_formats()}")
    for info in kept:
        if kind_of(info["name"]) is None:
            shown = without_credentials(info["name"])
            raise RequestError(f"{shown}: no known kind of file{_way_out([shown])}; read are {known_formats()}")
    place = _Place(spec, filesystem, path, root)
    return _Found(place, base or place, kept, ignored, special)


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


def _sift(
    infos: list[dict[str, Any]], root: str, *, keep_unknown: bool
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Files to take, names of those to pass over, and names of what is no regular file."""
    kept, ignored, special = [], [], []
    for info in infos:
        inside = _inside(info["name"], root)
        hidden = any(part.startswith((".", "_")) for part in inside.split("/"))
        if hidden or (not keep_unknown and kind_of(inside) is None):
            ignored.append(inside)
        elif _is_special(info):
            special.append(inside)
        else:
            kept.append(info)
    return kept, ignored, special


def _is_special(info: dict[str, Any]) -> bool:
    """Whether an entry of a local directory is a pipe, a device, a socket, or a link to one, to itself or a directory.

    A link whose target is gone is not: it stands for data that is missing, and is refused where it is opened.
    """
    if "ino" not in info:
        return False
    try:
        return not stat.S_ISREG(os.stat(info["name"]).st_mode)
    except OSError as error:
        return error.errno == errno.ELOOP


def _looked_in(spec: str, filesystem: AbstractFileSystem) -> str:
    """Where a relative path was looked for."""
    is_relative = isinstance(filesystem, LocalFileSystem) and "://" not in spec and not spec.startswith(("/", "~"))
    return f" in {os.getcwd()}" if is_relative else ""


def _of_other_kinds(names: Sequence[str]) -> str:
    return f", passing over {_and_more(names)}{_way_out(names)}"


def _way_out(names: Sequence[str]) -> str:
    is_text = any(name.lower().endswith(PLAIN_TEXT) for name in names)
    return '. Write each text as a line {"text": "..."} of a .jsonl file' if is_text else ""


def _what_is_there(filesystem: AbstractFileSystem, folder: str) -> str:
    """What a user sees who looks at the folder of a pattern."""
    if not is_local(filesystem):
        return ""  # a bucket may hold millions
    folder = folder or "/"
    shown = without_credentials(folder)
    if not filesystem.isdir(folder):
        return f": there is no folder {shown}"
    names = sorted(posixpath.basename(name.rstrip("/")) for name in filesystem.ls(folder, detail=False))
    return f": {shown} holds {_and_more(names) if names else 'nothing'}"


def _and_more(names: Sequence[str]) -> str:
    more = len(names) - 1
    return without_credentials(names[0]) + (f" and {more:,} more" if more else "")


PLAIN_TEXT = (".txt", ".md", ".rst", ".text")
"""How the names of files end that are one text each; texts are read as records."""


def _before_magic(path: str) -> str:
    parts = path.split("/")
    plain = next(i for i, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:plain])


def _inside(name: str, root: str) -> str:
    """A name below a directory; one name, however many `.`, `..` and slashes the specs hold."""
    return posixpath.relpath("/" + name.lstrip("/"), "/" + root.lstrip("/"))


def _common_root(bases: Sequence[_Place]) -> str | None:
    """The longest common directory; None where there is none because filesystems differ."""
    if not all(base.shares_filesystem(bases[0]) for base in bases):
        return None
    split = [base.root.split("/") for base in bases]
    common = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common)


def _source_file(path: str, url: str, info: dict[str, Any], listing: str) -> SourceFile:
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
        version = version_of(info) or f"{UNVERSIONED}{listing}"
    return SourceFile(path, url, int(info["size"]), version, *kind)
