"""The key under which compiled kernels are kept on disk."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

import numpy as np
import numpy.typing as npt


@functools.cache
def sources_digest(*packages: str) -> str:
    """Digest of everything that is compiled into a kernel: the Python and data files of packages.

    Numba's cache on disk looks only at the kernel's own file, and would go on with the machine code of an older version
    of the others.
    """
    digest = hashlib.sha256()
    for package in ("dsir_core.kernels", *packages):
        files = [file for file in resources.files(package).iterdir() if file.name.endswith((".py", ".npz"))]
        for file in sorted(files, key=lambda file: file.name):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def read_only(array: npt.NDArray[np.generic], dtype: type[np.generic]) -> npt.NDArray[np.generic]:
    """A contiguous view that cannot be written to.

    Arrow's buffers and mapped files are such, and for a compiled function that is another type: without this, each
    mixture of the two would be compiled anew.
    """
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
