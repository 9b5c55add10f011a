"""Case and class of code points, frozen for one Unicode version so that no Python changes a selection.

Two-stage table made by `scripts/build_unicode_table.py`: the entry of code point c is
`ENTRIES[INDEX[c >> 8] << 8 | c & 255]`.
"""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
import numpy.typing as npt

SPACE, WORD, PUNCTUATION = 0, 1, 2
DELTA_MASK = (1 << 21) - 1
DELTA_ZERO = 1 << 20
CLASS_SHIFT = 21
CASED = 1 << 23
CASE_IGNORABLE = 1 << 24

DOTTED_I = 0x130
"""The one code point that lower-cases to two: i and a combining dot."""
COMBINING_DOT = 0x307
CAPITAL_SIGMA, SIGMA, FINAL_SIGMA = 0x3A3, 0x3C3, 0x3C2


def _load() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], str]:
    data = (resources.files("dsir_core.ngrams") / "unicode.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return arrays["index"].astype(np.int64), arrays["entries"].astype(np.int64), str(arrays["version"])


INDEX, ENTRIES, UNICODE_VERSION = _load()

TOKENIZER_VERSION = f"wordpunct-unicode-{UNICODE_VERSION}-v1"
"""Part of every checkpoint's key."""


def entry(code: int) -> int:
    """Packed properties of a code point."""
    return int(ENTRIES[INDEX[code >> 8] << 8 | code & 255])
