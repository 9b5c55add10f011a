"""Texts as the kernels want them, and strategies for text that is hard on tokenizers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

SPECIAL = (
    "\u0130\u03a3\u03c3\u03c2\u1e9e\u212a\u0345\u00ad\u0307'\u2019.:\u00b7_\u200d\u00a0\u0085\u2028\u3000\x1c\x1f\x0b"
    "\u0661\u00b2\u2160\u00aa\u01c5\u00df\ufb03\u10a0\u13a0\U00010400\U0001f600\u0300\ud7ff\ue000\uffff\U0010ffff"
    "\u023a\u023e\u2c62 \t\n\rAZaz09!-,"
)
"""Characters whose case, class or length is unusual."""

ALPHABET = st.one_of(
    st.sampled_from(SPECIAL),
    st.characters(codec="utf-8"),
    st.characters(min_codepoint=32, max_codepoint=126),
    st.characters(min_codepoint=0x370, max_codepoint=0x3FF, codec="utf-8"),
)
SCRIPTS = (
    *("aZ é. ", "éÉßñ a", "абвЖЩ ё", "αβΓΔώ ", "אבג ", "عربي ٣،", "हिन्दी "),
    *("一二三。，", "あカー、", "한국 ", "กขค่ ", "一aあ. 1", "ກຂ ", "កខ្", "ကခ်𠀀", "𐐀𐐨😀 ", "Ⱥȿⱥ a"),
)
"""Letters, marks and punctuation of one script each; the last change their length with their case."""

RUNS = st.tuples(
    st.sampled_from(SCRIPTS).flatmap(lambda script: st.text(st.sampled_from(script), min_size=30, max_size=150)),
    st.sampled_from(["", " ", "x", "\u03a3", "\u0130", "\u023a", "\u2028"]),
).map("".join)
"""Stretches longer than a block of the kernel, with or without a character behind them that ends the fast path."""

WORDS = st.text(ALPHABET, max_size=12)
TEXTS = st.one_of(
    st.text(ALPHABET, max_size=300),
    st.lists(RUNS, max_size=4).map("".join),
    st.lists(st.one_of(WORDS, st.text("abcXYZ", min_size=1, max_size=400)), max_size=40).map(" ".join),
    # Runs that straddle the edges of blocks of 64 bytes.
    st.tuples(st.integers(50, 140), WORDS, st.integers(0, 140)).map(lambda t: "a" * t[0] + t[1] + ". " * t[2]),
)


def buffers(texts: list[str], before: bytes = b"") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """UTF-8 and offsets of texts, the first of which begins behind `before`."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([len(before), *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(before + b"".join(encoded) + b"\0", np.uint8), offsets
