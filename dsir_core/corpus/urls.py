"""URLs of source files: for opening, and for showing."""

from __future__ import annotations

import re
from typing import Any

_CREDENTIALS = re.compile(r"([a-z][\w+.-]*://)[^/@]*@", re.IGNORECASE)


def without_credentials(url: str) -> str:
    """A URL without user and password, to be shown."""
    return _CREDENTIALS.sub(r"\1", url)


def url_like(spec: str, filesystem: Any, path: str, name: str) -> str:
    """The URL to open a file by.

    Args:
        spec: what the user named.
        filesystem: of the spec.
        path: of the spec on that filesystem.
        name: of the file on that filesystem.
    """
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
    if "file" in protocols:
        return name
    # Only the spec itself holds the host, the user, and what a URL is chained to.
    first, chain, rest = spec.partition("::")
    for stem, tail in ((spec, ""), (first, chain + rest)):
        before = stem.removesuffix(path)
        if before != stem and "://" in before:
            return before + name + tail
    return str(filesystem.unstrip_protocol(name))
