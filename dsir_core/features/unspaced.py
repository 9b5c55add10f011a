"""Text in scripts without spaces between words, which the tokenizer `wordpunct` takes for very long words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsir_core.features.unicode_table import CLASS_SHIFT, SINGLE, codes_of, entries_of

FIRST_BYTE = 0xE0
"""Such letters begin with it or a larger byte: all are at U+0E00 or above."""


def unspaced_bytes(text_data: npt.NDArray[np.uint8], text_offsets: npt.NDArray[np.int64]) -> int:
    """Bytes of a batch's texts that are letters which the tokenizer `unicode` makes tokens of.

    Args:
        text_data, text_offsets: as for `count_ngrams`.
    """
    text = text_data[text_offsets[0] : text_offsets[-1]]
    if not (text >= FIRST_BYTE).any():
        return 0
    codes = codes_of(text.tobytes().decode())
    found = codes[entries_of(codes, "unicode") >> CLASS_SHIFT & 3 == SINGLE]
    return int(3 * len(found) + (found > 0xFFFF).sum())
