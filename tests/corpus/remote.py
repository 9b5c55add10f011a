"""A filesystem like an object store: names begin with a bucket, listings are cached, and what is fetched is counted."""

from __future__ import annotations

from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

OBJECTS: dict[str, bytes] = {}
"""Content by bucket and key; of all hosts."""
FETCHED: list[int] = []
"""Bytes of each request."""


class _File(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        data = OBJECTS[self.path][start:end]
        FETCHED.append(len(data))
        return data


class BucketFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """`bucket://name/key`, or `bucket://user:password@host/name/key`."""

    protocol = "bucket"
    cachable = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("bucket://").rpartition("@host/")[2].rstrip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"user": path.removeprefix("bucket://").partition("@host/")[0]} if "@host/" in path else {}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """See AbstractFileSystem."""
        path = self._strip_protocol(path)
        if path not in self.dircache:
            self.dircache[path] = self._list(path)
        listed = self.dircache[path]
        if not listed:
            raise FileNotFoundError(path)
        return list(listed) if detail else [info["name"] for info in listed]

    def _list(self, path: str) -> list[dict[str, Any]]:
        if path in OBJECTS:
            return [{"name": path, "size": len(OBJECTS[path]), "type": "file", "ETag": '"tag"'}]
        prefix = f"{path}/" if path else ""
        names = {prefix + name[len(prefix) :].split("/")[0] for name in OBJECTS if name.startswith(prefix)}
        return [
            {"name": name, "size": len(OBJECTS[name]), "type": "file", "ETag": '"tag"'}
            if name in OBJECTS
            else {"name": name, "size": 0, "type": "directory"}
            for name in sorted(names)
        ]

    def invalidate_cache(self, path: str | None = None) -> None:
        """See AbstractFileSystem."""
        self.dircache.clear()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """One request, as object stores have it."""
        data = OBJECTS[self._strip_protocol(path)][start:end]
        FETCHED.append(len(data))
        return data

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> _File:
        return _File(self, path, mode, **kwargs)
