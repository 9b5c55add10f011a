"""URLs of source files: for opening, and for showing."""

from __future__ import annotations

import os
import re
from typing import Any

_CREDENTIALS = re.compile(r"([a-z][\w+.-]*://)[^/?#]*@", re.IGNORECASE)
_QUERY_VALUE = re.compile(r"([?&][^=&#]+)=[^&#]*")


def without_credentials(url: str) -> str:
    """A URL without user, password and the values of its query (which may be a signature), to be shown."""
    plain = _CREDENTIALS.sub(r"\1", url)
    return _QUERY_VALUE.sub(r"\1=...", plain) if "://" in plain else plain


def absolute(url: str) -> str:
    """A local path that names the same place from every working directory; any other URL, and "", as it is."""
    path = url.removeprefix("file://")
    return os.path.abspath(os.path.expanduser(path)) if path and "://" not in path else url


def is_local(filesystem: Any) -> bool:
    """Whether an fsspec filesystem is that of this machine."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
    return "file" in protocols


def url_like(spec: str, filesystem: Any, path: str, name: str) -> str:
    """The URL to open a file by.

    Args:
        spec: what the user named.
        filesystem: of the spec.
        path: of the spec on that filesystem.
        name: of the file on that filesystem.
    """
    if is_local(filesystem):
        return name
    # Only the spec itself holds the host, the user, and what a URL is chained to.
    first, chain, rest = spec.partition("::")
    for stem, tail in ((spec, ""), (first, chain + rest)):
        before = stem.removesuffix(path)
        if before != stem and "://" in before:
            return before + name + tail
    return str(filesystem.unstrip_protocol(name))
