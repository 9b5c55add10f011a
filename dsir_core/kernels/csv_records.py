"""Where records of CSV end, compiled."""

from __future__ import annotations

from dsir_core.kernels.compiled import compiled

NEWLINE = ord("\n")
QUOTE = ord('"')

START, PLAIN, QUOTED, CLOSING = range(4)
"""Where the next byte stands: at a field's start, in a plain field, in a quoted one, behind a closing quote."""


@compiled()
def record_ends(data, delimiter, state, ends):
    """Positions behind the line feeds that end records.

    A quote opens a field only at its start; a doubled quote in a quoted field is a quote.

    Args:
        data: uint8[n], of a file, from anywhere on.
        delimiter: between fields, a byte.
        state: behind the bytes before.
        ends: int64[n], receives the positions.

    Returns:
        How many there are, and the state behind the bytes.
    """
    n = 0
    for i in range(len(data)):
        byte = data[i]
        if state == QUOTED:
            if byte == QUOTE:
                state = CLOSING
        elif byte == QUOTE and state != PLAIN:
            state = QUOTED
        elif byte == NEWLINE:
            ends[n] = i + 1
            n += 1
            state = START
        elif byte == delimiter:
            state = START
        else:
            state = PLAIN
    return n, state
