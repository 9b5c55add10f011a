"""Writes dsir_core/features/unicode.npz: case and class of every code point, as the running Python has them.

The table is frozen: run this only to move to another Unicode version, with a Python that has it, and raise the
tokenizer's version. The shipped table was made with Python 3.11 (Unicode 14.0.0).

    python3.11 scripts/build_unicode_table.py
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

import numpy as np

OUT = Path(__file__).parents[1] / "dsir_core" / "features" / "unicode.npz"
CODE_POINTS = 0x110000
BLOCK = 256
DELTA_ZERO = 1 << 20
SPACE, WORD, PUNCTUATION, SINGLE = 0, 1, 2, 3
CAPITAL_SIGMA, DOTTED_I = 0x3A3, 0x130

UNSPACED = (
    *(
        "CJK UNIFIED IDEOGRAPH",
        "CJK COMPATIBILITY IDEOGRAPH",
        "IDEOGRAPHIC ",
        "HANGZHOU NUMERAL",
        "VERTICAL IDEOGRAPHIC ",
    ),
    *("HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA", "HALFWIDTH HANGUL", "HANGUL ", "HENTAIGANA ", "BOPOMOFO "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR "),
)
"""How the names of letters begin whose scripts do not put spaces between words, or (Hangul) hang much on to them."""


def entry(code: int) -> int:
    """Packed properties: bits 0-20 the lower case's distance + 2^20, 21-22 its class, 23 cased, 24 case-ignorable.

    The class of a letter of a script without spaces is SINGLE: one token for `unicode`, a word character
    for `wordpunct`.
    """
    char = chr(code)
    surrogate = 0xD800 <= code < 0xE000
    lower = code if surrogate or code == DOTTED_I else ord(char.lower())
    lowered = chr(lower)
    kind = WORD if re.match(r"\w", lowered) else SPACE if re.match(r"\s", lowered) else PUNCTUATION
    is_letter = unicodedata.category(char).startswith(("L", "Nl"))
    if kind == WORD and is_letter and unicodedata.name(char, "").startswith(UNSPACED):
        kind = SINGLE
    # Python does not name these two properties, but the rule for final sigma shows them.
    cased = not surrogate and (char + "\u03a3").lower()[-1] == "\u03c2"
    skipped = not surrogate and ("A" + char + "\u03a3").lower()[-1] == "\u03c2" and not cased
    return (lower - code + DELTA_ZERO) | kind << 21 | cased << 23 | skipped << 24


def main() -> None:
    """Build and write the table."""
    for code in range(CODE_POINTS):
        if not 0xD800 <= code < 0xE000 and code != DOTTED_I:
            assert len(chr(code).lower()) == 1, f"U+{code:04X} lower-cases to several code points"
    entries = np.array([entry(code) for code in range(CODE_POINTS)], np.uint32).reshape(-1, BLOCK)
    blocks, index = np.unique(entries, axis=0, return_inverse=True)
    version = np.array(unicodedata.unidata_version)
    np.savez_compressed(OUT, index=index.reshape(-1).astype(np.uint16), entries=blocks.reshape(-1), version=version)
    print(
        f"{OUT}: Unicode {version}, Python {sys.version.split()[0]}, {len(blocks)} blocks, {OUT.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main()
