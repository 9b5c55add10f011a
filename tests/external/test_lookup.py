"""Strings are hashed from their own bytes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import xxhash

from dsir_core.external.keys import string_hashes

ROOT = Path(__file__).parents[2]

GUARDED = """
import ctypes, mmap
import numpy as np
from dsir_core.external.lookup import hash_strings
from dsir_core.kernels.cache_key import read_only

pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
whole = np.frombuffer(pages, np.uint8)
libc = ctypes.CDLL(None, use_errno=True)
guard = ctypes.c_void_p(whole.ctypes.data + mmap.PAGESIZE)
assert libc.mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
for length in range(1, 300):
    data = whole[mmap.PAGESIZE - length : mmap.PAGESIZE]
    for cut in {0, length // 2, length - 1}:
        places = np.array([0, cut, length])
        first, second = np.empty(2, np.uint64), np.empty(2, np.uint64)
        hash_strings(read_only(data, np.uint8), read_only(places, np.int64), first, second)
print("done")
"""


def test_no_byte_behind_the_buffer_is_read() -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_hashes_are_those_of_the_libraries() -> None:
    texts = ["", *("é" * n + "ab"[: n % 3] for n in range(1, 200)), "z", "yz"]
    first, second = string_hashes(pa.array(texts, pa.large_string()))
    assert first[1:].tolist() == [xxhash.xxh3_64_intdigest(text.encode()) for text in texts[1:]]
    for text, found in zip(texts, second.tolist(), strict=True):
        expected = 0xCBF29CE484222325
        for byte in text.encode():
            expected = (expected ^ byte) * 0x100000001B3 % 2**64
        assert found == expected
