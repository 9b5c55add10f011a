"""Documents cut into chunks of equal word count (paper section 4: examples of 128 words): compiled.

A word is a run of anything but white space, by the frozen Unicode table; a letter of a script without spaces is a word
by itself. Pieces are bytes [start, next start) of the text: together they are the whole of it.
"""

from __future__ import annotations

import numpy as np

from dsir_core.features.tokenize import decode
from dsir_core.features.unicode_table import CLASS_SHIFT, SINGLE, SPACE
from dsir_core.kernels.compiled import compiled
from dsir_core.kernels.machine import address_of, load_byte


@compiled("dsir_core.features")
def cut(data, offsets, words, index, entries, starts, documents):
    """Cut documents.

    Args:
        data: uint8[...], valid UTF-8; offsets: int64[n + 1].
        words: of each chunk; the last of a document may have fewer.
        index, entries: the frozen table, with the class SINGLE.
        starts, documents: int64[chunks] to be filled with each chunk's first byte in `data`, and its document.

    Returns:
        How many chunks there are.
    """
    address = address_of(data)
    in_words = np.empty(128, np.int64)
    for code in range(128):
        in_words[code] = (entries[index[0] << 8 | code] >> CLASS_SHIFT) & 3 != SPACE
    n = 0
    for document in range(len(offsets) - 1):
        starts[n], documents[n] = offsets[document], document
        n += 1
        position, stop = address + offsets[document], address + offsets[document + 1]
        seen, in_word = 0, 0
        while position < stop:
            byte = load_byte(position)
            if byte < 0x80:
                # Where a word begins cannot be foretold: no branch depends on it.
                seen += in_words[byte] & ~in_word
                in_word = in_words[byte]
                if seen > words:
                    starts[n], documents[n] = position - address, document
                    n += 1
                    seen = 1
                position += 1
                continue
            code, width = decode(position)
            kind = (entries[index[code >> 8] << 8 | code & 255] >> CLASS_SHIFT) & 3
            if kind == SPACE:
                in_word = 0
            elif kind == SINGLE or in_word == 0:
                if seen == words:
                    starts[n], documents[n] = position - address, document
                    n += 1
                    seen = 0
                seen += 1
                in_word = 0 if kind == SINGLE else 1
            position += width
    return n
