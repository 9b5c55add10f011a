"""Case and class of code points, frozen for one Unicode version so that no Python changes a selection.

Two-stage table made by `scripts/build_unicode_table.py`: the entry of code point c is
`ENTRIES[tokenizer][INDEX[c >> 8] << 8 | c & 255]`.
"""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
import numpy.typing as npt

from dsir_core.config.hashes import UNICODE, WORDPUNCT

SPACE, WORD, PUNCTUATION, SINGLE = 0, 1, 2, 3
"""Classes. Only the tokenizer `unicode` knows the last: a letter of a script without spaces, a token by itself."""
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
    data = (resources.files("dsir_core.features") / "unicode.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return arrays["index"].astype(np.int64), arrays["entries"].astype(np.int64), str(arrays["version"])


def _without_single(entries: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The table in which letters of scripts without spaces are word characters as all others."""
    is_single = entries >> CLASS_SHIFT & 3 == SINGLE
    return np.where(is_single, entries - ((SINGLE - WORD) << CLASS_SHIFT), entries)


INDEX, _ENTRIES, UNICODE_VERSION = _load()

ENTRIES: dict[str, npt.NDArray[np.int64]] = {WORDPUNCT.name: _without_single(_ENTRIES), UNICODE.name: _ENTRIES}
"""By tokenizer."""

TOKENIZER_VERSION = f"wordpunct-unicode-{UNICODE_VERSION}-v1"
"""Part of every checkpoint's key."""


def entry(code: int, tokenizer: str = "wordpunct") -> int:
    """Packed properties of a code point."""
    return int(ENTRIES[tokenizer][INDEX[code >> 8] << 8 | code & 255])


def codes_of(text: str) -> npt.NDArray[np.int64]:
    """Code points of a text, int64[n]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)


def entries_of(codes: npt.NDArray[np.int64], tokenizer: str = "wordpunct") -> npt.NDArray[np.int64]:
    """Packed properties of code points, int64[n]."""
    found: npt.NDArray[np.int64] = ENTRIES[tokenizer][INDEX[codes >> 8] << 8 | codes & 255]
    return found


def classes(text: str, tokenizer: str) -> npt.NDArray[np.int64]:
    """Class of each code point of a text, int64[n]."""
    return entries_of(codes_of(text), tokenizer) >> CLASS_SHIFT & 3
