"""Compiled functions, whose machine code is kept on disk wherever a directory for it can be written."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config, njit
from numba.core import caching

from dsir_core.kernels.cache_key import sources_digest

logger = logging.getLogger(__name__)


def compiled(*packages: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile a function at its first call, without Python's lock, and keep its machine code.

    The code is kept in the first of these directories that can be written: `NUMBA_CACHE_DIR`; `__pycache__` beside the
    source; the user's cache directory; a private directory under the temporary one. Code that stands in `__pycache__`
    is loaded in any case, so that an installation can bring it. Where no directory can be written, each process
    compiles what the installation does not bring.

    Args:
        packages: those whose sources the function has compiled into it, besides `dsir_core.kernels`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel: Any = njit(nogil=True)(function)
        # Code that checks its indices (NUMBA_BOUNDSCHECK=1) is other code; Numba's key does not tell them apart.
        kernel._cache = _Cache(function, sources_digest(*packages) + (" with bounds" if config.BOUNDSCHECK else ""))  # type: ignore[attr-defined]
        return kernel

    return decorate


def is_kept(kernel: Any) -> bool:
    """Whether a kernel's machine code, for some types of arguments, is on disk."""
    found: bool = kernel._cache.is_kept()
    return found


class _PrivateTemporary(caching.InTreeCacheLocator):
    """A directory of this user under the temporary directory."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._private = Path(tempfile.gettempdir(), f"dsir-kernels-{os.getuid()}")
        self._cache_path = str(self._private / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        try:
            return super().from_function(py_func, py_file)
        except FileNotFoundError:  # there is no temporary directory
            return None

    def ensure_cache_path(self) -> None:
        # What is loaded from here is run: nobody else may have written it.
        self._private.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(self._private)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(f"{self._private} is not a directory of this user alone")
        super().ensure_cache_path()


class _ReadOnly(caching.InTreeCacheLocator):
    """`__pycache__` beside the source, from which code can be loaded even if none can be saved."""

    def ensure_cache_path(self) -> None:
        pass


class _Directories(caching.CompileResultCacheImpl):
    _locator_classes = [*caching.CompileResultCacheImpl._locator_classes, _PrivateTemporary, _ReadOnly]  # noqa: RUF012

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        # Numba looks for its version in the index only. Two environments that share the sources would overwrite each
        # other's numbered files of code, and one could load what the other's LLVM wrote.
        base: str = super().get_filename_base(fullname, abiflags)
        return f"{base}-numba{numba.__version__}"


class _Cache(caching.FunctionCache):
    """Numba's cache of one function, under a key with the sources, that never keeps the function from running."""

    _impl_class = _Directories

    def __init__(self, function: Callable[..., Any], sources: str) -> None:
        super().__init__(function)
        self._sources = sources
        beside = _ReadOnly.from_function(function, function.__code__.co_filename)
        self._files = [
            caching.IndexDataCacheFile(path, self._impl.filename_base, self._impl.locator.get_source_stamp())
            for path in dict.fromkeys([self._cache_path, beside.get_cache_path()])
        ]

    def is_kept(self) -> bool:
        """Whether code that was compiled from these sources can be loaded."""
        for file in self._files:
            with contextlib.suppress(OSError):
                if any(key[-1] == self._sources for key in file._load_index()):
                    return True
        return False

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # Numba's own key knows of no source but the function's.
        return (*super()._index_key(sig, codegen), self._sources)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        for file in self._files:
            try:
                data = file.load(key)
            except OSError as error:
                logger.debug("compiled code cannot be loaded: %s", error)
                continue
            if data is not None:
                return self._impl.rebuild(target_context, data)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            logger.debug("compiled code cannot be kept: %s", error)
