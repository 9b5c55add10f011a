"""The check of UTF-8 is Python's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dsir_core.kernels.utf8 import is_utf8

BYTES = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF)
BYTES += (0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF)
"""The first and the last of each kind."""


def check(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        expected = False
    else:
        expected = True
    assert bool(is_utf8(np.frombuffer(data, np.uint8))) is expected, data


@pytest.mark.parametrize("before", [0, 30, 58, 59, 60, 61, 62, 63, 64])
def test_every_combination_of_kinds_of_bytes_at_every_place_of_a_block(before: int) -> None:
    for length in (1, 2, 3):
        for middle in itertools.product(BYTES, repeat=length):
            check(b"a" * before + bytes(middle))
            check(b"a" * before + bytes(middle) + b"b" * 70)


def test_characters_damaged_anywhere() -> None:
    rng = np.random.default_rng(0)
    characters = ["a", "\u00e9", "\u07ff", "\u0800", "\u20ac", "\ud7ff", "\ue000", "\U00010000", "\U0010ffff"]
    for _ in range(5000):
        text = "".join(rng.choice(characters, rng.integers(1, 100)))
        data = bytearray(text.encode())
        check(bytes(data))
        data[rng.integers(len(data))] = rng.choice(BYTES)
        check(bytes(data))
        check(bytes(data[: rng.integers(len(data))]))
