"""Mutations of bytes, from a seed: what a fuzzer does to valid inputs."""

from __future__ import annotations

import random
from collections.abc import Sequence

MARGINS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def mutate(rng: random.Random, data: bytes, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    """A few random changes.

    Args:
        words: that mean something in the language of the input.
        others: inputs to take pieces from.
    """
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(8):
            case 0 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 1 if found:
                found[at % len(found)] = rng.randrange(256)
            case 2:
                found[at:at] = rng.choice(words) if words else bytes([rng.randrange(256)])
            case 3:
                del found[at : at + rng.choice((1, 1, 2, 8, len(found)))]
            case 4:
                end = at + rng.randrange(1, 17)
                found[at:at] = found[at:end] * rng.choice((1, 2, 20))
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                found[at : at + rng.choice((0, 8))] = other[start : start + rng.randrange(1, 40)]
            case 6:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice(MARGINS) % 256**size
                found[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
            case _ if words:
                word = rng.choice(words)
                found[at : at + len(word)] = word
    return bytes(found)
